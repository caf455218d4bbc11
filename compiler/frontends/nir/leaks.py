"""Leaks: from the time constant and the gain of a NIR node to one step of a leaky membrane, per dialect.

Each framework turns its own step into NIR's time constants on export. What matters here is to get back the exact
numbers that the framework computes with: its float type, its order of operations and, where the export rounded, the
value that exports to what stands in the file. What a framework cannot have written is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError, quoted
from ...ir.arrays import FloatArray
from ...ir.neurons import Arithmetic
from .dialects import Conventions, Tau

Array = npt.NDArray[Any]

_WITHOUT_LI = {"snntorch": "snnTorch", "lava": "Lava"}
_SAME_GAIN = 1e-5
"""An export in float32 gives back a gain within this share of what the framework writes."""


@dataclass(frozen=True)
class Leak:
    """One step of a leaky membrane: the share `beta` that is kept and the gain `r` of the input (see `Arithmetic`)."""

    beta: FloatArray
    r: FloatArray
    arithmetic: Arithmetic


@dataclass(frozen=True)
class Source:
    """What a leak is read from: the fields `tau` and `r` of the node `name`, and what kind of neuron it is.

    `kind` is LIF, LI or CubaLIF (of CubaLI, too), which has two leaks: `synapse` is that of its current, whose gain is
    `w_in`.
    """

    name: str
    kind: str
    tau: Array
    r: Array
    synapse: bool = False


def leak_of(source: Source, conventions: Conventions) -> Leak:
    """The leak of one step. ModelError for numbers that the dialect cannot have written, or that make no leak."""
    dialect = conventions.dialect.name
    if dialect in _WITHOUT_LI and source.kind == "LI":
        raise ModelError(
            f"{_WITHOUT_LI[dialect]} writes no LI nodes: node {quoted(source.name)} is one; give the --dialect of the "
            "tool that wrote it"
        )
    if dialect in _UNSCALED:
        return _UNSCALED[dialect](source, conventions)
    if dialect == "spikingjelly" and source.kind == "CubaLIF":
        return _unscaled(source, conventions.dt)
    check_finite(source.name, "tau", source.tau)
    check_finite(source.name, "r", source.r)
    _check_positive(source)
    leak = _LEAKS[dialect](source, conventions)
    if not np.all((leak.beta >= 0) & (leak.beta < 1)):
        wrong = ~((leak.beta >= 0) & (leak.beta < 1))
        raise ModelError(
            f"tau lies between one time step and 2^53 of them: node {quoted(source.name)} has "
            f"{first(source.tau, wrong):g} with the time step {conventions.dt:g}; give the --dialect of the tool that "
            "wrote the file, or --dt"
        )
    return leak


def check_finite(name: str, field: str, value: Array) -> None:
    """Raise ModelError for an infinite parameter."""
    if not np.isfinite(value).all():
        raise ModelError(f"numbers are finite: {field} of node {quoted(name)} holds Inf; retrain or repair the model")


def first(value: Array, where: npt.NDArray[np.bool_]) -> float:
    """The first value for which `where` holds."""
    return float(np.broadcast_to(value, where.shape)[where].flat[0])


def _check_positive(source: Source) -> None:
    if np.any(source.tau <= 0):
        wrong = first(source.tau, source.tau <= 0)
        raise ModelError(f"tau is positive: node {quoted(source.name)} has {wrong:g}; check the export")


# --------------------------------------------------------------------- frameworks that do not scale the input of a step


def _snntorch(source: Source, conventions: Conventions) -> Leak:
    """snnTorch: tau = dt/(1 - beta) and r = 1/(1 - beta), in the parameter's float type; steps clip a trained beta."""
    return _unscaled(source, conventions.dt, clipped=True)


def _lava(source: Source, conventions: Conventions) -> Leak:
    """Lava: tau = dt/decay and r = tau/dt, with a decay in steps of 1/4096."""
    leak = _unscaled(source, conventions.dt)
    decay = (1 - leak.beta) * 4096
    exact = np.round(decay)
    close = np.abs(decay - exact) < 1e-3
    return Leak(np.where(close, 1 - exact / 4096, leak.beta), leak.r, leak.arithmetic)


def _unscaled(source: Source, dt: float, clipped: bool = False) -> Leak:
    """tau = dt/(1 - beta) and r = tau/dt: beta*V + I. Infinite ones are a membrane without leak."""
    tau, r = source.tau, source.r
    infinite = np.isinf(tau) & np.isinf(r)  # beta = 1
    if not infinite.all():
        check_finite(source.name, "tau", np.where(infinite, 1, tau))
        check_finite(source.name, "r", np.where(infinite, 1, r))
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(infinite, 1.0, r.astype(np.float64) * dt / tau)
        if not np.all(np.abs(gain - 1) < _SAME_GAIN):
            raise _not_written(source, "tau/dt", gain)
        beta = 1 - dt / tau.astype(np.float64) if _is_single(tau, r) else 1 - 1 / r.astype(np.float64)
    if _is_single(tau, r):
        step, one = np.float32(dt), np.float32(1)
        beta = _recovered(beta, _decimals(beta), lambda x: (step / (one - x), step / (one - x) / step), (tau, r))
    if clipped:
        beta = np.clip(beta, 0, 1)
    elif not np.all((beta >= 0) & (beta <= 1)):
        raise ModelError(
            f"tau lies between one time step and infinity: node {quoted(source.name)} has {float(tau.flat[0]):g} with "
            f"the time step {dt:g}; give the --dialect of the tool that wrote the file, or --dt"
        )
    return Leak(beta, np.ones(()), Arithmetic.DECAY)


def _not_written(source: Source, rule: str, gain: Array) -> ModelError:
    """The refusal of an r (of w_in) that scales the input where the framework scales none."""
    field, factor = ("w_in" if source.synapse else "r"), gain.flat[int(np.argmax(np.abs(gain - 1)))]
    return ModelError(
        f"{field} is {rule}, as the neurons do not scale their input: node {quoted(source.name)} has another, which "
        f"would scale it by {factor:g}; give the --dialect of the tool that wrote the file, or --dt"
    )


def _spyx(source: Source, conventions: Conventions) -> Leak:
    """Spyx: tau = dt/(1 - beta) and r = beta, which its import ignores: beta*V + I; a synapse has w_in = 1."""
    tau, r, dt = source.tau, source.r, conventions.dt
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = np.where(np.isinf(tau), 1.0, 1 - dt / tau.astype(np.float64))
    if source.synapse:
        if np.any(r != 1):
            raise _not_written(source, "1", r)
        single, one = np.float32(dt), np.float32(1)
        beta = estimate
        if _is_single(tau):
            beta = _recovered(estimate, _decimals(estimate), lambda x: (single / (one - x),), (tau,))
    else:
        beta = r.astype(np.float64)
        if not np.all(np.abs(beta - estimate) < 1e-4):
            raise ModelError(
                f"Spyx writes its beta for r and dt/(1 - beta) for tau: node {quoted(source.name)} has the r "
                f"{beta.flat[0]:g} and a tau of {np.broadcast_to(tau, beta.shape).flat[0]:g} with the time step "
                f"{dt:g}; give the --dialect of the tool that wrote the file, or --dt"
            )
    return Leak(np.clip(beta, 0, 1), np.ones(()), Arithmetic.DECAY)  # clipped as Spyx itself does


# --------------------------------------------------------------------------------------------------- other frameworks


def _norse(source: Source, conventions: Conventions) -> Leak:
    """Norse's cells multiply dt*tau_mem_inv; the file holds 1/tau_mem_inv or, scaled, dt/tau_mem_inv."""
    tau, dt = source.tau, conventions.dt
    scaled = conventions.tau is Tau.SCALED
    inverse = (dt if scaled else 1.0) / tau.astype(np.float64)
    if _is_single(tau):
        with np.errstate(divide="ignore"):
            guesses = (*_decimals(inverse), *(1 / guess for guess in _decimals(1 / inverse)))
        # torch computes number/tensor as the reciprocal times the number
        step, one = np.float32(dt), np.float32(1)
        inverse = _recovered(inverse, guesses, lambda x: (one / x * step if scaled else one / x,), (tau,))
        leak = (step * inverse.astype(np.float32)).astype(np.float64)
    else:
        leak = dt * inverse
    return Leak(1 - leak, source.r.astype(np.float64), Arithmetic.EULER)


def _spikingjelly(source: Source, conventions: Conventions) -> Leak:
    """SpikingJelly writes tau in steps times dt; r is 1, or tau in steps where the input does not decay."""
    steps = source.tau.astype(np.float64) / conventions.dt
    return Leak(1 - 1 / steps, source.r.astype(np.float64), Arithmetic.EULER_DIVIDE)


def _sinabs(source: Source, conventions: Conventions) -> Leak:
    """Sinabs decays by alpha = exp(-dt/tau); its LIF scales the input by 1 - alpha, its ExpLeak (LI) does not."""
    tau, r = source.tau, source.r
    alpha = np.exp(-tau.dtype.type(conventions.dt) / tau)
    alpha = np.where(alpha > 0, alpha, np.nan)  # a time constant in seconds, not in steps
    gain = 1 - alpha if source.kind == "LIF" else np.ones((), alpha.dtype)
    return Leak(alpha.astype(np.float64), (r * gain).astype(np.float64), Arithmetic.DECAY)


def _rockpool(source: Source, conventions: Conventions) -> Leak:
    """Rockpool decays by exp(-dt/tau) and writes r = tau/dt*exp(-dt/tau), which its neurons do not apply.

    A synapse (of a CubaLIF, or an LI by itself) decays with its input: g = alpha*(g + I).
    """
    tau, dt = source.tau, conventions.dt
    alpha = np.exp(-tau.dtype.type(dt) / tau).astype(np.float64)
    if source.synapse:
        if np.any(source.r != 1):
            raise _not_written(source, "1", source.r)
    else:
        with np.errstate(all="ignore"):
            gain = source.r.astype(np.float64) / (tau.astype(np.float64) / dt * alpha)
        if not np.all(np.abs(gain - 1) < _SAME_GAIN):
            raise ModelError(
                f"Rockpool writes tau/dt*exp(-dt/tau) for r: node {quoted(source.name)} has an r that is "
                f"{gain.flat[int(np.argmax(np.abs(gain - 1)))]:g} times that with the time step {dt:g}; give the "
                "--dialect of the tool that wrote the file, or another --dt"
            )
    return Leak(alpha, alpha if source.synapse or source.kind == "LI" else np.ones(()), Arithmetic.DECAY)


def _nir(source: Source, conventions: Conventions) -> Leak:
    """One Euler step of NIR's equation tau*dv/dt = (v_leak - v) + r*I."""
    return Leak(1 - conventions.dt / source.tau.astype(np.float64), source.r.astype(np.float64), Arithmetic.EULER)


_Reader = Callable[[Source, Conventions], Leak]
_UNSCALED: dict[str, _Reader] = {"snntorch": _snntorch, "spyx": _spyx, "lava": _lava}
"""Frameworks whose beta may be 1, which they write as infinity."""

_LEAKS: dict[str, _Reader] = {
    "norse": _norse,
    "spikingjelly": _spikingjelly,
    "sinabs": _sinabs,
    "rockpool": _rockpool,
    "nir": _nir,
}


# --------------------------------------------------------------------------------------- undoing an export's rounding


def _is_single(*arrays: Array) -> bool:
    return all(array.dtype == np.float32 for array in arrays)


def _decimals(estimate: FloatArray) -> list[FloatArray]:
    """The estimate with more and more digits: parameters that people choose are short decimals."""
    with np.errstate(invalid="ignore"):
        return [np.round(estimate, digits) for digits in range(1, 6)]


def _recovered(
    estimate: FloatArray,
    guesses: Iterable[FloatArray],
    export: Callable[[npt.NDArray[np.float32]], tuple[Array, ...]],
    stored: tuple[Array, ...],
) -> FloatArray:
    """The float32 values that `export` turns into exactly what is `stored`: the first such guess, else the estimate.

    Several float32 values may export to the same; the simplest is tried first, then the nearest to the estimate.
    """
    nearest = estimate.astype(np.float32)
    result, found = nearest, np.zeros(nearest.shape, np.bool_)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        neighbours = (nearest + ulps * np.spacing(nearest) for ulps in (0, 1, -1, 2, -2))
        for guess in (*guesses, *neighbours):
            single = np.asarray(guess, np.float32)
            exact = np.logical_and.reduce([a == b for a, b in zip(export(single), stored, strict=True)])
            result = np.where(exact & ~found, single, result)
            found |= exact
    return result.astype(np.float64)
