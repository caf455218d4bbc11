"""Compression: pruning and quantisation of layers and networks.

Names are imported from their modules when they are first asked for; torch is loaded only by those methods that need it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .activity import measured_rates
    from .apply import compress
    from .finetune import FineTune
    from .leaks import share_leaks
    from .material import Arrays, Images, Recordings
    from .pruning import NeuronPruningReport, PruningReport, prune_neurons, prune_weights
    from .quantization import QuantizedWeights, quantize_delays, quantize_weights
    from .recipe import Override, Recipe
    from .report import CompressionReport

_MODULES = {
    "Arrays": "material",
    "CompressionReport": "report",
    "FineTune": "finetune",
    "Images": "material",
    "NeuronPruningReport": "pruning",
    "Override": "recipe",
    "PruningReport": "pruning",
    "QuantizedWeights": "quantization",
    "Recipe": "recipe",
    "Recordings": "material",
    "compress": "apply",
    "measured_rates": "activity",
    "prune_neurons": "pruning",
    "prune_weights": "pruning",
    "quantize_delays": "quantization",
    "quantize_weights": "quantization",
    "share_leaks": "leaks",
}
"""Where each public name lives."""

__all__ = [
    "Arrays",
    "CompressionReport",
    "FineTune",
    "Images",
    "NeuronPruningReport",
    "Override",
    "PruningReport",
    "QuantizedWeights",
    "Recipe",
    "Recordings",
    "compress",
    "measured_rates",
    "prune_neurons",
    "prune_weights",
    "quantize_delays",
    "quantize_weights",
    "share_leaks",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
