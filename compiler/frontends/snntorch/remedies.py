"""What a user can put in the place of a layer or an operation that is not read: the words of the refusals."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ....hdl.errors import ModelError
from .provenance import Unknown
from .trace import LinearCall, State, Trace

_PLAIN = "put an nn.Linear with the weights and the bias that it computes with in its place"
_READ = ("Linear", "Conv1d", "Conv2d", "Leaky", "Synaptic", "AdaptiveLeaky", "Flatten", "Identity", "Dropout")


def class_name(layer: nn.Module) -> str:
    """The name of a layer's class, with its package where that of a layer that is read would be the same."""
    cls = type(layer)
    return f"{cls.__module__}.{cls.__name__}" if cls.__name__ in _READ else cls.__name__


def replacement(layer: nn.Module) -> str:
    """What to do about a layer that is not read."""
    return _PLAIN if _is_linear(layer) else "replace it"


def check_not_wrapped(module: nn.Module) -> None:
    """Raise ModelError where something stands around the module or a layer of it, such as DataParallel."""
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError(
            f"from_snntorch runs a module in Python: this is a {type(module).__name__}; pass the module that it was "
            "scripted or traced from"
        )
    for name, layer in module.named_modules():
        if (attribute := _wrapper(layer)) is not None:
            what = f"{name!r}, a {type(layer).__name__}" if name else f"this, a {type(layer).__name__}"
            path = f"{name}.{attribute}" if name else attribute
            raise ModelError(
                f"from_snntorch reads a module without a wrapper: {what}, stands around one; "
                + (f"put model.{path} in its place" if name else f"pass model.{path}")
            )


def unknown_result(owner: Unknown) -> str:
    """What the result of an operation that is not known is, and what to do about it."""
    scope = owner.scope
    where = "" if scope is None else f" in {scope.name!r}, a {class_name(scope.layer)}"
    way = _way_out(None if scope is None else scope.layer)
    return f"the result of the operation {owner.operation!r}{where}, which Spikeloom does not know; {way}"


def returned_instead(trace: Trace) -> str:
    """What a forward returns that returns no spikes, and what to do about it."""
    origins = [o for ids in trace.returned for o in trace.provenance.origins(ids.ravel()) if o is not None]
    owners = [origin.owner for origin in origins]
    for owner in owners:
        if isinstance(owner, State):
            return (
                f"membranes of {owner.call.name!r}; return (spikes, membranes), and say how a class is read off with "
                'network.with_readout("membrane-last"), "membrane-max" or "membrane-sum"'
            )
        if isinstance(owner, LinearCall):
            return (
                f"the result of {owner.name!r} (logits), which no neurons receive; end with snntorch.Leaky(beta=1.0, "
                'reset_mechanism="none"), whose last membranes are the sum of the logits, return its spikes and call '
                'network.with_readout("membrane-last")'
            )
    if operations := sorted({owner.operation for owner in owners if isinstance(owner, Unknown)}):
        return f"the result of the operation {operations[0]!r}; return the spikes, and count them outside of forward"
    return "nothing that holds just these, in the order of the neurons; return them, alone or as (spikes, membranes)"


def _way_out(layer: nn.Module | None) -> str:
    """What to do about an operation that is not known, in `layer` where that is not the module itself."""
    return _PLAIN if layer is not None and _is_linear(layer) else "remove it"


def _wrapper(module: Any) -> str | None:
    """What stands in front of the module that is to be read, as an attribute of it; None where nothing does."""
    name = type(module).__name__
    if hasattr(module, "_orig_mod"):
        return "_orig_mod"
    return (
        "module" if name.endswith("DataParallel") and isinstance(getattr(module, "module", None), nn.Module) else None
    )


def _is_linear(layer: nn.Module) -> bool:
    """Whether this is a linear layer of its own kind, such as one that quantises its weights in `forward`."""
    return isinstance(layer, nn.Linear) or type(layer).__name__.endswith("Linear")
