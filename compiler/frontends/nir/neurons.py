"""Neurons: from the continuous-time parameters of a NIR node to one time step of the IR, per dialect (see `leaks`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError, quoted
from ...ir.neurons import IF, LI, LIF, CubaLI, CubaLIF, Fire, FloatDynamics, ResetMode, ResetPlace
from .dialects import Conventions, Reset
from .leaks import Leak, Source, check_finite, first, leak_of
from .nodes import NirNode

Array = npt.NDArray[Any]

_LEAK_TO_ZERO = ("snntorch", "sinabs", "rockpool", "spyx", "lava")
"""Dialects whose neurons have no v_leak; nor has the CubaLIF of SpikingJelly."""
_WITHOUT_IF = {"snntorch": "snnTorch", "rockpool": "Rockpool", "lava": "Lava"}


def dynamics_of(
    name: str, node: NirNode, size: int, conventions: Conventions, recurrent: bool = False
) -> FloatDynamics:
    """The dynamics of the node `name`: `size` neurons, `recurrent` where they hear themselves.

    Scalars and arrays of one element hold for all neurons; a parameter that is the same for all becomes a scalar.
    Raises ModelError for parameters that do not fit the number of neurons, or that the dialect cannot have written.
    """
    fields = {field: _per_neuron(name, field, value, size) for field, value in node.fields.items()}
    if node.type == "IF":
        return _if(name, fields, conventions)
    if node.type == "Threshold":
        return LIF(beta=np.zeros(()), threshold=fields["threshold"], reset_mode=ResetMode.NONE, fire=Fire.GT)
    if node.type == "CubaLIF":
        return _cubalif(name, fields, conventions)
    if node.type == "CubaLI":
        return _cubali(name, fields, conventions)
    v_leak = fields["v_leak"]
    if node.type == "LI":
        leak = leak_of(Source(name, "LI", fields["tau"], fields["r"]), conventions)
        _check_v_leak(name, v_leak, v_leak, conventions)
        v_init = v_leak if conventions.dialect.name == "norse" else np.zeros(())
        return LI(beta=leak.beta, r=leak.r, v_leak=v_leak, v_init=v_init, arithmetic=leak.arithmetic)
    _check_delayed_threshold(name, fields["v_threshold"], conventions)
    v_reset = _v_reset(fields, conventions)
    _check_v_leak(name, v_leak, v_reset, conventions)
    if recurrent:
        _check_lost_input("an RLeaky", name, conventions)
    leak = leak_of(Source(name, "LIF", fields["tau"], fields["r"]), conventions)
    return LIF(
        beta=leak.beta,
        threshold=fields["v_threshold"],
        r=leak.r,
        v_leak=v_leak,
        v_reset=v_reset,
        v_init={"norse": v_leak, "spikingjelly": v_reset}.get(conventions.dialect.name, np.zeros(())),
        max_spikes=conventions.max_spikes,
        reset_mode=conventions.reset_mode,
        reset_place=conventions.reset_place,
        fire=conventions.fire,
        arithmetic=leak.arithmetic,
    )


def _if(name: str, fields: dict[str, Array], conventions: Conventions) -> IF:
    dialect = conventions.dialect.name
    if dialect in _WITHOUT_IF:
        raise ModelError(
            f"{_WITHOUT_IF[dialect]} writes no IF nodes: node {quoted(name)} is one; give the --dialect of the tool "
            "that wrote it"
        )
    check_finite(name, "r", fields["r"])
    _check_delayed_threshold(name, fields["v_threshold"], conventions)
    v_reset = _v_reset(fields, conventions)
    return IF(
        threshold=fields["v_threshold"],
        # Norse and Spyx write r = 1 for a step's whole input; the others follow dv/dt = r*I
        r=fields["r"] if dialect in ("norse", "spyx") else fields["r"].astype(np.float64) * conventions.dt,
        v_reset=v_reset,
        v_init=v_reset if dialect in ("norse", "spikingjelly") else np.zeros(()),
        v_min=-fields["v_threshold"] if conventions.dialect.if_floor else None,
        max_spikes=conventions.max_spikes,
        reset_mode=conventions.reset_mode,
        reset_place=conventions.reset_place,
        fire=conventions.fire,
    )


def _cubalif(name: str, fields: dict[str, Array], conventions: Conventions) -> CubaLIF:
    """A LIF whose input is filtered by a leak of its own; all frameworks drive the membrane with the new current."""
    dialect = conventions.dialect.name
    synapse, membrane = _cuba_leaks(name, "CubaLIF", fields, conventions)
    _check_delayed_threshold(name, fields["v_threshold"], conventions)
    _check_lost_input("a Synaptic", name, conventions)
    v_reset = _v_reset(fields, conventions)
    return CubaLIF(
        alpha=synapse.beta,
        beta=membrane.beta,
        threshold=fields["v_threshold"],
        w_in=synapse.r,
        r=membrane.r,
        v_leak=fields["v_leak"],
        v_reset=v_reset,
        v_init={"norse": fields["v_leak"], "spikingjelly": v_reset}.get(dialect, np.zeros(())),
        reset_mode=conventions.reset_mode,
        max_spikes=conventions.max_spikes,
        reset_place=conventions.cuba_reset_place,
        fire=conventions.fire,
        arithmetic=membrane.arithmetic,
    )


def _cubali(name: str, fields: dict[str, Array], conventions: Conventions) -> CubaLI:
    """The same without a threshold."""
    synapse, membrane = _cuba_leaks(name, "CubaLI", fields, conventions)
    return CubaLI(
        alpha=synapse.beta,
        beta=membrane.beta,
        w_in=synapse.r,
        r=membrane.r,
        v_leak=fields["v_leak"],
        v_init=fields["v_leak"] if conventions.dialect.name == "norse" else np.zeros(()),
        arithmetic=membrane.arithmetic,
    )


def _cuba_leaks(name: str, kind: str, fields: dict[str, Array], conventions: Conventions) -> tuple[Leak, Leak]:
    """The leaks of the current and of the membrane."""
    dialect = conventions.dialect.name
    if dialect in ("nir", "sinabs"):
        raise ModelError(
            f"{kind} nodes are read as Lava, Rockpool, SpikingJelly or Spyx, or as snnTorch or Norse wrote them: node "
            f"{quoted(name)} comes with the dialect {dialect!r}; give the --dialect of one of these if it suits"
        )
    if dialect != "norse":
        _check_leak_to_zero(name, fields["v_leak"], conventions)
    w_in = fields.get("w_in", np.ones((), fields["tau_syn"].dtype))
    synapse = leak_of(Source(name, "CubaLIF", fields["tau_syn"], w_in, synapse=True), conventions)
    return synapse, leak_of(Source(name, "CubaLIF", fields["tau_mem"], fields["r"]), conventions)


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


def _check_leak_to_zero(name: str, v_leak: Array, conventions: Conventions) -> None:
    dialect = conventions.dialect.name
    if np.any(v_leak != 0):
        raise ModelError(
            f"{dialect} neurons leak towards 0: node {quoted(name)} has v_leak {first(v_leak, v_leak != 0)}; "
            "give the --dialect of the tool that wrote the file"
        )


def _check_v_leak(name: str, v_leak: Array, v_reset: Array, conventions: Conventions) -> None:
    if conventions.dialect.name in _LEAK_TO_ZERO:
        _check_leak_to_zero(name, v_leak, conventions)
    if conventions.dialect.name == "spikingjelly" and conventions.reset is Reset.VALUE and np.any(v_leak != v_reset):
        raise ModelError(
            f"spikingjelly neurons leak towards v_reset: node {quoted(name)} has another v_leak, "
            f"{first(v_leak, np.asarray(v_leak != v_reset))}; give the --dialect of the tool that wrote the file"
        )


def _check_delayed_threshold(name: str, threshold: Array, conventions: Conventions) -> None:
    """snnTorch and Spyx reset where the membrane exceeds the threshold, as a fresh one of 0 does with one below 0."""
    dialect = conventions.dialect.name
    if dialect not in ("snntorch", "spyx") or conventions.reset_place is ResetPlace.SNNTORCH_SAME:
        return
    if np.any(threshold < 0):
        raise ModelError(
            f"a threshold below 0 resets {dialect} neurons that never fired: node {quoted(name)} has "
            f"{first(threshold, threshold < 0)}; this is not supported, retrain with positive thresholds"
        )


def _check_lost_input(layer: str, name: str, conventions: Conventions) -> None:
    """snnTorch's Synaptic and recurrent neurons that reset to zero a step later lose that step's input as well.

    The IR has no such reset.
    """
    delayed = conventions.reset_place is ResetPlace.NEXT and conventions.reset is not Reset.SUBTRACT
    if conventions.dialect.name == "snntorch" and delayed:
        raise ModelError(
            f"{layer} that resets to zero a step later also loses that step's current, which is not supported: node "
            f"{quoted(name)} is read so; retrain with reset_delay=False or with subtraction"
        )
