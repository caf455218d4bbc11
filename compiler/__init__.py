"""The compiler: from a trained network to integers, a plan of hardware and a report of what it costs.

The names that users need, each imported from its module when it is first asked for: the command line starts at once,
and torch is loaded only by those who call `from_snntorch` or `from_relu`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .threads import set_thread_defaults

if TYPE_CHECKING:
    from .compression.apply import compress
    from .compression.magnitude import prune
    from .compression.recipe import Recipe
    from .data.samples import Samples, load_samples
    from .frontends.nir.reader import read_nir
    from .frontends.nir.writer import write_nir
    from .frontends.relu import from_relu
    from .frontends.snntorch.frontend import from_snntorch
    from .ir.connectivity import Dense, Quantised
    from .ir.network import Network, Population, Projection
    from .ir.neurons import IF, LI, LIF, CubaLI, CubaLIF
    from .ir.readout import Readout
    from .ir.verifier import verify
    from .lowering.quantise import dequantise, quantise
    from .plan.plan import Plan, make_plan

_MODULES = {
    "CubaLI": "ir.neurons",
    "CubaLIF": "ir.neurons",
    "Dense": "ir.connectivity",
    "IF": "ir.neurons",
    "LI": "ir.neurons",
    "LIF": "ir.neurons",
    "Network": "ir.network",
    "Plan": "plan.plan",
    "Population": "ir.network",
    "Projection": "ir.network",
    "Quantised": "ir.connectivity",
    "Readout": "ir.readout",
    "Recipe": "compression.recipe",
    "Samples": "data.samples",
    "compress": "compression.apply",
    "dequantise": "lowering.quantise",
    "from_relu": "frontends.relu",
    "from_snntorch": "frontends.snntorch.frontend",
    "load_samples": "data.samples",
    "make_plan": "plan.plan",
    "prune": "compression.magnitude",
    "quantise": "lowering.quantise",
    "read_nir": "frontends.nir.reader",
    "verify": "ir.verifier",
    "write_nir": "frontends.nir.writer",
}
"""Where each public name lives."""

set_thread_defaults()  # before anything can load torch

__all__ = [
    "IF",
    "LI",
    "LIF",
    "CubaLI",
    "CubaLIF",
    "Dense",
    "Network",
    "Plan",
    "Population",
    "Projection",
    "Quantised",
    "Readout",
    "Recipe",
    "Samples",
    "compress",
    "dequantise",
    "from_relu",
    "from_snntorch",
    "load_samples",
    "make_plan",
    "prune",
    "quantise",
    "read_nir",
    "verify",
    "write_nir",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
