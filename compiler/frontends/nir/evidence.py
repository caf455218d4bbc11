"""What the numbers of a file's own nodes decide of what its dialect leaves open.

A dialect is a framework, but releases of one framework write different things, and some write numbers from which the
rest can be told. Every function here takes only what a file can have no other way, and says nothing where two readings
are possible.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError, OptionError, quoted
from ...ir.arrays import FloatArray
from ...ir.neurons import MODELS, Kind
from .dialects import Dialect, Options, Reset, Tau
from .nodes import NirGraph, NirNode

_TIME_CONSTANTS = ("tau", "tau_mem", "tau_syn")
_LONGEST_S = 1.0
"""A membrane of more than this many seconds is not what a network of spiking neurons is trained with."""

_SAME = 1e-4
"""Numbers that a float32 export rounded are the same within this share."""

_SOFT_RESETS_UNTIL = (1, 0, 7)
"""SpikingJelly 2.0.0.dev0 and dev1 write soft resets as v_reset = 0; neither runs with a newer nir than this one."""


def evidence(graph: NirGraph, dialect: Dialect, said: Options) -> Options:
    """What the nodes say beyond `said`, what the user and the file's metadata say.

    Raises OptionError where the dialect allows of two readings and the numbers suit both or neither, ModelError where
    they contradict each other.
    """
    dt = said.dt
    if dt is None and dialect.name in _STEPS:
        dt = _common_step(graph, dialect)
    tau = said.tau
    if tau is not None and not dialect.tau_open:
        raise OptionError(
            f"tau says how a release of Norse wrote its time constants: the dialect is {dialect.name!r}; omit --tau"
        )
    if tau is None and dialect.tau_open:
        step = dialect.dt if dt is None else dt
        assert step is not None
        tau = _norse_tau(graph, step)
    reset = _spikingjelly_reset(graph) if dialect.name == "spikingjelly" and said.reset is None else None
    return Options(dt=dt, tau=tau, reset=reset)


def _neurons(graph: NirGraph) -> Iterator[tuple[str, NirNode]]:
    return ((name, node) for name, node in graph.nodes.items() if node.type in MODELS)


# --------------------------------------------------------------------------------------------------------- Norse


def _norse_tau(graph: NirGraph, dt: float) -> Tau:
    """Which of the two readings of Norse's time constants is possible.

    A time constant of one step or less leaves no membrane: it is not in seconds. One that is over a second once it is
    taken for dt times itself is not scaled.
    """
    found = {
        f"{field} of node {quoted(name)}": node.fields[field].astype(np.float64)
        for name, node in _neurons(graph)
        for field in _TIME_CONSTANTS
        if field in node.fields
    }
    if not found:
        return Tau.SECONDS
    seconds = all(np.all(tau > dt * (1 + 1e-6)) for tau in found.values())
    scaled = all(np.all(tau <= _LONGEST_S * dt * (1 + 1e-6)) for tau in found.values())
    if seconds != scaled:
        return Tau.SECONDS if seconds else Tau.SCALED
    where, tau = max(found.items(), key=lambda item: float(np.max(item[1])))
    largest = float(np.max(tau))
    raise OptionError(
        f"Norse wrote time constants in seconds or, in release 1.1.0, times dt: with dt {dt:g} {where} is "
        f"{largest:g} s or {largest / dt:g} s, and the file's numbers do not decide; give --tau seconds|scaled"
    )


# -------------------------------------------------------------------------------------------------- SpikingJelly


def _spikingjelly_reset(graph: NirGraph) -> Reset | None:
    """The reset to value where no soft reset can have been written, else None."""
    firing = [node for _, node in _neurons(graph) if MODELS[Kind(node.type)].fires]
    newer = _version(graph.nir_version) > _SOFT_RESETS_UNTIL
    if newer or any(node.type == "CubaLIF" or np.any(node.fields.get("v_reset", 0) != 0) for node in firing):
        return Reset.VALUE
    return None


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(digits[:6]) for digits in re.findall(r"\d+", text[:40])[:3])


# ----------------------------------------------------------------------------------- steps that the nodes give away


def _common_step(graph: NirGraph, dialect: Dialect) -> float | None:
    """The time step that all nodes give away; None where none does. ModelError where they differ."""
    steps = [
        (name, step)
        for name, node in _neurons(graph)
        for step in np.ravel(_STEPS[dialect.name](node)).tolist()
        if np.isfinite(step) and step > 0
    ]
    if not steps:
        return None
    values = np.array([step for _, step in steps])
    middle = float(np.median(values))
    apart = np.abs(values / middle - 1)
    if np.max(apart) > _SAME:
        name, step = steps[int(np.argmax(apart))]
        raise ModelError(
            f"a network has one time step: node {quoted(name)} was written with {step:g}, others with {middle:g}, as "
            f"the r of {dialect.name} neurons says; give the --dialect of the tool that wrote the file"
        )
    return _simplest(middle, values)


def _simplest(estimate: float, values: npt.NDArray[np.float64]) -> float:
    """The shortest decimal that is as near to all values as float32 can tell, else the estimate."""
    for digits in range(1, 7):
        decimal = float(f"{estimate:.{digits - 1}e}")
        if np.all(np.abs(values / decimal - 1) < 1e-5):
            return decimal
    return estimate


def _rockpool_step(node: NirNode) -> FloatArray:
    """Rockpool writes r = exp(-x)/x with x = dt/tau, which falls with x: Newton's method on its logarithm finds x."""
    tau = node.fields.get("tau", node.fields.get("tau_mem"))
    if tau is None:
        return np.empty(0)
    tau, r = tau.astype(np.float64), node.fields["r"].astype(np.float64)
    with np.errstate(all="ignore"):
        x = 1 / (1 + r)  # exp(-x)/x is about 1/x - 1
        for _ in range(20):
            x = x * np.exp((-x - np.log(x) - np.log(r)) / (1 + x))
        step: FloatArray = x * tau
    return step


def _spyx_step(node: NirNode) -> FloatArray:
    """Spyx writes r = beta and tau = dt/(1 - beta)."""
    tau = node.fields.get("tau", node.fields.get("tau_mem"))
    if tau is None:
        return np.empty(0)
    with np.errstate(all="ignore"):
        step: FloatArray = tau.astype(np.float64) * (1 - node.fields["r"].astype(np.float64))
    return step


_STEPS = {"rockpool": _rockpool_step, "spyx": _spyx_step}
