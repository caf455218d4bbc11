"""Neurons: from the continuous-time parameters of a NIR node to one time step of the IR, per dialect.

Each framework turns its own step into NIR's time constants on export. What matters here is to get back the exact
numbers that the framework computes with: its float type, its order of operations and, where the export rounded, the
value that exports to what stands in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError, quoted
from ...ir.arrays import FloatArray
from ...ir.neurons import IF, LI, LIF, Arithmetic, CubaLIF, FloatDynamics, ResetPlace
from .dialects import Conventions, Reset
from .graph import NirNode

Array = npt.NDArray[Any]

_SAME_GAIN = 1e-5
"""snnTorch exports r = tau/dt in float32; within this share the input is taken as unscaled."""


@dataclass(frozen=True)
class _Leak:
    """One step of a leaky membrane: the share `beta` that is kept and the gain `r` of the input (see `Arithmetic`)."""

    beta: FloatArray
    r: FloatArray
    arithmetic: Arithmetic


def dynamics_of(name: str, node: NirNode, size: int, conventions: Conventions) -> FloatDynamics:
    """The dynamics of the IF, LIF, CubaLIF or LI node `name` with `size` neurons.

    Scalars and arrays of one element hold for all neurons; a parameter that is the same for all becomes a scalar.
    Raises ModelError for parameters that do not fit the number of neurons, or that the dialect cannot have written.
    """
    fields = {field: _per_neuron(name, field, value, size) for field, value in node.fields.items()}
    if node.type == "IF":
        return _if(name, fields, conventions)
    if node.type == "CubaLIF":
        return _cubalif(name, fields, conventions)
    leak = _leak(name, node.type, fields, conventions)
    v_leak = fields["v_leak"]
    if node.type == "LI":
        v_init = v_leak if conventions.dialect.name == "norse" else np.zeros(())
        return LI(beta=leak.beta, r=leak.r, v_leak=v_leak, v_init=v_init, arithmetic=leak.arithmetic)
    _check_snntorch_threshold(name, fields["v_threshold"], conventions)
    v_reset = _v_reset(fields, conventions)
    _check_v_leak(name, v_leak, v_reset, conventions)
    return LIF(
        beta=leak.beta,
        threshold=fields["v_threshold"],
        r=leak.r,
        v_leak=v_leak,
        v_reset=v_reset,
        v_init={"norse": v_leak, "spikingjelly": v_reset}.get(conventions.dialect.name, np.zeros(())),
        reset_mode=conventions.reset_mode,
        reset_place=conventions.reset_place,
        fire=conventions.fire,
        arithmetic=leak.arithmetic,
    )


def _if(name: str, fields: dict[str, Array], conventions: Conventions) -> IF:
    dialect = conventions.dialect.name
    if dialect == "snntorch":
        raise ModelError(
            f"snnTorch writes no IF nodes: node {quoted(name)} is one; give the --dialect of the tool that wrote it"
        )
    _check_finite(name, "r", fields["r"])
    v_reset = _v_reset(fields, conventions)
    return IF(
        threshold=fields["v_threshold"],
        # Norse writes r = 1 for a step's whole input; the others follow dv/dt = r*I
        r=fields["r"] if dialect == "norse" else fields["r"].astype(np.float64) * conventions.dt,
        v_reset=v_reset,
        v_init=v_reset if dialect in ("norse", "spikingjelly") else np.zeros(()),
        reset_mode=conventions.reset_mode,
        reset_place=conventions.reset_place,
        fire=conventions.fire,
    )


def _cubalif(name: str, fields: dict[str, Array], conventions: Conventions) -> CubaLIF:
    """A LIF whose input is filtered by a leak of its own; both frameworks drive the membrane with the new current."""
    dialect = conventions.dialect.name
    if dialect not in ("snntorch", "norse"):
        raise ModelError(
            f"CubaLIF nodes are read as snnTorch or Norse wrote them: node {quoted(name)} comes with the dialect "
            f"{dialect!r}; give --dialect snntorch or --dialect norse if one of them suits"
        )
    _check_snntorch_threshold(name, fields["v_threshold"], conventions)
    _check_synaptic_reset(name, conventions)
    v_reset = _v_reset(fields, conventions)
    _check_v_leak(name, fields["v_leak"], v_reset, conventions)
    w_in = fields.get("w_in", np.ones((), fields["tau_syn"].dtype))
    membrane = _leak(name, "LIF", {"tau": fields["tau_mem"], "r": fields["r"]}, conventions)
    synapse = _leak(name, "LIF", {"tau": fields["tau_syn"], "r": w_in}, conventions)
    return CubaLIF(
        alpha=synapse.beta,
        beta=membrane.beta,
        threshold=fields["v_threshold"],
        w_in=synapse.r,
        r=membrane.r,
        v_leak=fields["v_leak"],
        v_reset=v_reset,
        v_init=fields["v_leak"] if dialect == "norse" else np.zeros(()),
        reset_mode=conventions.reset_mode,
        reset_place=conventions.reset_place,
        fire=conventions.fire,
        arithmetic=membrane.arithmetic,
    )


def _v_reset(fields: dict[str, Array], conventions: Conventions) -> Array:
    """The value of a reset to value, else 0; a node without `v_reset` resets to 0 (NIR's default)."""
    if conventions.reset is not Reset.VALUE or "v_reset" not in fields:
        return np.zeros(())
    return fields["v_reset"]


# ------------------------------------------------------------------------------------------------------- checks


def _per_neuron(name: str, field: str, value: Array, size: int) -> Array:
    if value.size not in (1, size):
        raise ModelError(
            f"a neuron parameter is a scalar or has one entry per neuron ({size}): {field} of node {quoted(name)} has "
            f"the shape {value.shape}; check the layer before it"
        )
    flat = value.reshape(-1)
    return flat[0].reshape(()) if np.all(flat == flat[0]) else flat


def _check_finite(name: str, field: str, value: Array) -> None:
    if not np.isfinite(value).all():
        raise ModelError(f"numbers are finite: {field} of node {quoted(name)} holds Inf; retrain or repair the model")


def _check_v_leak(name: str, v_leak: Array, v_reset: Array, conventions: Conventions) -> None:
    dialect = conventions.dialect.name
    if dialect in ("snntorch", "sinabs") and np.any(v_leak != 0):
        raise ModelError(
            f"{dialect} neurons leak towards 0: node {quoted(name)} has v_leak {_first(v_leak, v_leak != 0)}; "
            "give the --dialect of the tool that wrote the file"
        )
    if dialect == "spikingjelly" and conventions.reset is Reset.VALUE and np.any(v_leak != v_reset):
        raise ModelError(
            f"spikingjelly neurons leak towards v_reset: node {quoted(name)} has another v_leak, "
            f"{_first(v_leak, np.asarray(v_leak != v_reset))}; give the --dialect of the tool that wrote the file"
        )


def _check_snntorch_threshold(name: str, threshold: Array, conventions: Conventions) -> None:
    """snnTorch resets where the membrane exceeds the threshold, which a fresh membrane of 0 does with one below 0."""
    if conventions.dialect.name != "snntorch" or conventions.reset_place is ResetPlace.SNNTORCH_SAME:
        return
    if np.any(threshold < 0):
        raise ModelError(
            f"a threshold below 0 resets snnTorch neurons that never fired: node {quoted(name)} has "
            f"{_first(threshold, threshold < 0)}; this is not supported, retrain with positive thresholds"
        )


def _check_synaptic_reset(name: str, conventions: Conventions) -> None:
    """snnTorch's Synaptic that resets to zero a step later also loses that step's current: the IR has no such reset."""
    delayed = conventions.reset_place is ResetPlace.NEXT and conventions.reset is not Reset.SUBTRACT
    if conventions.dialect.name == "snntorch" and delayed:
        raise ModelError(
            f"a Synaptic that resets to zero a step later also loses that step's current, which is not supported: node "
            f"{quoted(name)} is read so; retrain with reset_delay=False or with subtraction"
        )


def _first(value: Array, where: npt.NDArray[np.bool_]) -> float:
    return float(np.broadcast_to(value, where.shape)[where].flat[0])


# -------------------------------------------------------------------------------------------------------- leaks


def _leak(name: str, kind: str, fields: dict[str, Array], conventions: Conventions) -> _Leak:
    dialect = conventions.dialect.name
    if dialect == "snntorch":
        if kind == "LI":
            raise ModelError(
                f"snnTorch writes no LI nodes: node {quoted(name)} is one; give the --dialect of the tool that wrote it"
            )
        leak = _snntorch(fields["tau"], fields["r"], conventions.dt)
        if leak is not None:
            return leak
    tau, r = fields["tau"], fields["r"]
    _check_finite(name, "tau", tau)
    _check_finite(name, "r", r)
    if np.any(tau <= 0):
        raise ModelError(f"tau is positive: node {quoted(name)} has {_first(tau, tau <= 0):g}; check the export")
    leak = _LEAKS[dialect](kind, tau, r, conventions.dt)
    if not np.all((leak.beta >= 0) & (leak.beta < 1)):
        wrong = ~((leak.beta >= 0) & (leak.beta < 1))
        raise ModelError(
            f"tau lies between one time step and 2^53 of them: node {quoted(name)} has {_first(tau, wrong):g} with the "
            f"time step {conventions.dt:g}; give the --dialect of the tool that wrote the file, or --dt"
        )
    return leak


def _snntorch(tau: Array, r: Array, dt: float) -> _Leak | None:
    """snnTorch's own export: tau = dt/(1 - beta), r = 1/(1 - beta), with an input that is not scaled. Else None."""
    infinite = np.isinf(tau) & np.isinf(r)  # beta = 1
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(infinite, 1.0, r.astype(np.float64) * dt / tau)
        if not np.all(np.abs(gain - 1) < _SAME_GAIN):
            return None
        beta = 1 - dt / tau.astype(np.float64) if _is_single(tau, r) else 1 - 1 / r.astype(np.float64)
    if _is_single(tau, r):
        step, one = np.float32(dt), np.float32(1)
        beta = _recovered(beta, _decimals(beta), lambda x: (step / (one - x), step / (one - x) / step), (tau, r))
    beta = np.clip(beta, 0, 1)  # as snnTorch itself does with a trained beta
    return _Leak(beta, np.ones(()), Arithmetic.DECAY)


def _snntorch_scaled(kind: str, tau: Array, r: Array, dt: float) -> _Leak:
    """A LIF node that snnTorch did not write, run as snnTorch would: beta*V + r*dt/tau*I."""
    factor = dt / tau.astype(np.float64)
    return _Leak(1 - factor, r * factor, Arithmetic.DECAY)


def _norse(kind: str, tau: Array, r: Array, dt: float) -> _Leak:
    """Norse writes dt/tau_mem_inv, its cells multiply dt*tau_mem_inv: the leak is dt*(dt/tau)."""
    inverse = dt / tau.astype(np.float64)
    if _is_single(tau):
        with np.errstate(divide="ignore"):
            guesses = (*_decimals(inverse), *(1 / guess for guess in _decimals(1 / inverse)))
        # torch computes number/tensor as the reciprocal times the number
        step, one = np.float32(dt), np.float32(1)
        inverse = _recovered(inverse, guesses, lambda x: (one / x * step,), (tau,))
        leak = (step * inverse.astype(np.float32)).astype(np.float64)
    else:
        leak = dt * inverse
    return _Leak(1 - leak, r.astype(np.float64), Arithmetic.EULER)


def _spikingjelly(kind: str, tau: Array, r: Array, dt: float) -> _Leak:
    """SpikingJelly writes tau in steps times dt; r is 1, or tau in steps where the input does not decay."""
    return _Leak(1 - 1 / (tau.astype(np.float64) / dt), r.astype(np.float64), Arithmetic.EULER_DIVIDE)


def _sinabs(kind: str, tau: Array, r: Array, dt: float) -> _Leak:
    """Sinabs decays by alpha = exp(-dt/tau); its LIF scales the input by 1 - alpha, its ExpLeak (LI) does not."""
    alpha = np.exp(-tau.dtype.type(dt) / tau)
    alpha = np.where(alpha > 0, alpha, np.nan)  # a time constant in seconds, not in steps
    gain = 1 - alpha if kind == "LIF" else np.ones((), alpha.dtype)
    return _Leak(alpha.astype(np.float64), (r * gain).astype(np.float64), Arithmetic.DECAY)


def _nir(kind: str, tau: Array, r: Array, dt: float) -> _Leak:
    """One Euler step of NIR's equation tau*dv/dt = (v_leak - v) + r*I."""
    return _Leak(1 - dt / tau.astype(np.float64), r.astype(np.float64), Arithmetic.EULER)


_LEAKS: dict[str, Callable[[str, Array, Array, float], _Leak]] = {
    "snntorch": _snntorch_scaled,
    "norse": _norse,
    "spikingjelly": _spikingjelly,
    "sinabs": _sinabs,
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
