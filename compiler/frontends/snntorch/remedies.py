"""What a user can put in the place of a layer or an operation that is not read: the words of the refusals."""

from __future__ import annotations

from typing import Any

from torch import nn

_FOLD = (
    "fold it into the Linear before it, both in evaluation, with "
    "torch.nn.utils.fusion.fuse_linear_bn_eval(linear, batch_norm)"
)
_PLAIN = "put an nn.Linear with the weights and the bias that it computes with in its place"
_READ = ("Linear", "Leaky", "Synaptic", "Flatten", "Identity", "Dropout")


def class_name(layer: nn.Module) -> str:
    """The name of a layer's class, with its package where that of a layer that is read would be the same."""
    cls = type(layer)
    return f"{cls.__module__}.{cls.__name__}" if cls.__name__ in _READ else cls.__name__


def replacement(layer: nn.Module) -> str:
    """What to do about a layer that is not read."""
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        return _FOLD
    return _PLAIN if _is_linear(layer) else "replace it"


def way_out(operation: str, layer: nn.Module | None) -> str:
    """What to do about an operation that is not known, in `layer` where that is not the module itself."""
    if operation == "batch_norm":
        return _FOLD
    return _PLAIN if layer is not None and _is_linear(layer) else "remove it"


def wrapper(module: Any) -> str | None:
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
