"""State dicts of chains of `nn.Linear` and `snntorch.Leaky` layers as networks.

A state dict has names and tensors, and no classes and no `forward`. The layers are known by what they hold: `weight`
and perhaps `bias`; `beta`, `threshold`, `graded_spikes_factor` and `reset_mechanism_val`. They are taken in the order
of their registration, in which neurons follow each linear layer. From them the module is built again, which is read as
any other.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import snntorch
import torch
from torch import nn

from ....hdl.errors import ModelError, OptionError, quoted
from ...ir.network import Network
from .checkpoint import WAY_OUT, read_checkpoint
from .frontend import from_snntorch

MAX_LAYERS = 1000

Tensors = dict[str, torch.Tensor]
"""What a layer holds, by the last part of the names."""

_NEURONS = frozenset(("beta", "threshold", "reset_mechanism_val"))
_LEAKY = _NEURONS | {"graded_spikes_factor"}
_SIGNS = (
    ("running_mean", "batch normalisation"),
    ("weight_ih_l0", "recurrent"),
    ("rho", "neurons whose threshold adapts"),
    ("alpha", "Synaptic or Alpha neurons"),
    ("V", "recurrent neurons"),
    ("delays", "a layer with delays"),
    ("weight_orig", "pruned by torch.nn.utils.prune"),
    ("original", "parametrised"),
)
"""What tells other layers."""


class _Chain(nn.Sequential):
    """Layers one behind the other. The spikes of float64 neurons are float32, as snnTorch makes them."""

    def forward(self, values: Any) -> Any:
        """One step: the spikes of the last layer, and its membranes."""
        for layer in self:
            values = layer(values.to(layer.weight.dtype) if isinstance(layer, nn.Linear) else values)
        return values


def read_state_dict(path: Path, *, reset_delay: bool | None = None, **conventions: Any) -> Network:
    """The float network of the state dict in a file, with a warning of what is taken for granted.

    `reset_delay` is that of the neurons, snnTorch's default unless told. `conventions` are those of NIR files, of which
    `x_max`, `x_min` and the dialect snntorch mean something here.

    Raises ModelError, in one line, for anything that is no such file, and OptionError for other conventions.
    """
    bounds = {name: conventions.pop(name) for name in ("x_max", "x_min") if conventions.get(name) is not None}
    said = [name for name, value in conventions.items() if value is not None]
    if conventions.get("dialect") == "snntorch":
        said.remove("dialect")
    if said:
        raise OptionError(f"a state dict is that of snnTorch's Leaky: leave out --{said[0].replace('_', '-')}")
    layers = _layers(read_checkpoint(path))
    delay = "" if reset_delay is not None else ", resetting one step after a spike (--no-reset-delay: in its step)"
    warnings.warn(
        "a state dict does not say how a module computes: layers are taken in the order of their registration, neurons "
        f"behind each linear layer{delay}; {WAY_OUT} says it all",
        stacklevel=2,
    )
    module, inputs = _module(layers, True if reset_delay is None else reset_delay)
    return replace(from_snntorch(module, inputs, **bounds), name=path.stem)


def _layers(state: Tensors) -> dict[str, Tensors]:
    """The tensors of each layer, of linear ones and neurons in turn."""
    layers: dict[str, Tensors] = {}
    for name, tensor in state.items():
        _check_tensor(name, tensor)
        layer, _, part = name.rpartition(".")
        layers.setdefault(layer, {})[part] = tensor
    if len({tensor.dtype for tensor in state.values() if tensor.ndim and tensor.is_floating_point()}) > 1:
        raise ModelError(
            "a state dict is float32 or float64 as a whole: this has both; save model.float().state_dict()"
        )
    if len(layers) > MAX_LAYERS:
        raise ModelError(f"a network has at most {MAX_LAYERS:,} layers: the state dict has {len(layers):,}")
    for number, (layer, tensors) in enumerate(layers.items()):
        problem = _problem(layer, tensors, layers)
        if problem is not None:
            raise ModelError(
                f"state dicts are read of Linear and Leaky layers: {quoted(layer)} is {problem}; use {WAY_OUT}"
            )
        if ("weight" in tensors) != (number % 2 == 0):
            raise _not_in_turn(layer)
    if len(layers) % 2:
        raise _not_in_turn(next(reversed(layers)))
    return layers


def _not_in_turn(layer: str) -> ModelError:
    return ModelError(
        "a state dict has a linear layer and its neurons in turn, in the order of registration: "
        f"{quoted(layer)} is out of turn; use {WAY_OUT}"
    )


def _check_tensor(name: str, tensor: torch.Tensor) -> None:
    whole = tensor.numel() == 1 and tensor.dtype in (torch.int64, torch.int32)
    if not whole and tensor.dtype not in (torch.float32, torch.float64):
        raise ModelError(
            f"tensors are float32 or float64: {quoted(name)} is {str(tensor.dtype).removeprefix('torch.')}; save "
            "model.float().state_dict()"
        )
    if not bool(torch.isfinite(tensor).all()):
        raise ModelError(f"parameters are finite numbers: {quoted(name)} has others; train again")


def _problem(layer: str, tensors: Tensors, layers: dict[str, Tensors]) -> str | None:
    """What a layer is that is not read; None for those that are."""
    parts = tensors.keys()
    if any(layer.startswith(f"{other}.") and held.keys() >= _NEURONS for other, held in layers.items()):
        return "part of recurrent neurons"
    if any(other.startswith(f"{layer}.") for other in layers) and parts >= _NEURONS:
        return "recurrent neurons"
    for part, words in _SIGNS:
        if part in parts:
            return words
    if _NEURONS <= parts <= _LEAKY:
        return None
    if "weight" not in parts or not parts <= {"weight", "bias"}:
        return f"a layer with {', '.join(quoted(part) for part in list(parts)[:4])}"
    dimensions = tensors["weight"].ndim
    if dimensions == 2:
        return None
    return "a convolution" if dimensions > 2 else "a normalisation or another with weights of one dimension"


def _module(layers: dict[str, Tensors], reset_delay: bool) -> tuple[nn.Module, int]:
    """The module as it was, under the names that it had, and its number of inputs."""
    chain = _Chain()
    arriving: int | None = None
    inputs, last = 0, next(reversed(layers))
    for name, tensors in layers.items():
        if not name or hasattr(chain, name):
            raise ModelError(f"a layer has a name of its own: {quoted(name)} is one of every nn.Module; rename it")
        if "weight" in tensors:
            layer: nn.Module = _linear(name, tensors, arriving)
            arriving = int(tensors["weight"].shape[0])
            inputs = inputs or int(tensors["weight"].shape[1])
        else:
            assert arriving is not None, "linear layers come first"
            layer = _leaky(name, tensors, arriving, reset_delay, output=name == last)
        chain._modules[name] = layer  # add_module takes no names with dots, as layers of layers have
    return chain, inputs


def _linear(name: str, tensors: Tensors, arriving: int | None) -> nn.Module:
    weight, bias = tensors["weight"], tensors.get("bias")
    outputs, inputs = weight.shape
    if 0 in weight.shape or (bias is not None and bias.shape != (outputs,)):
        shapes = [list(tensor.shape) for tensor in tensors.values()]
        raise ModelError(f"weights are [outputs, inputs], biases [outputs]: {quoted(name)} has {shapes}")
    if arriving is not None and inputs != arriving:
        raise ModelError(f"layers fit each other: {quoted(name)} takes {inputs} values, {arriving} arrive")
    layer = nn.Linear(inputs, outputs, bias=bias is not None, device="meta")
    layer.load_state_dict({part: tensor.contiguous() for part, tensor in tensors.items()}, assign=True)
    return layer


def _leaky(name: str, tensors: Tensors, size: int, reset_delay: bool, *, output: bool) -> nn.Module:
    for part, tensor in tensors.items():
        of_neurons = part in ("beta", "threshold") and tuple(tensor.shape) in ((size,), (1, size))
        if tensor.numel() != 1 and not of_neurons:
            rule = f"is one number or one per neuron [{size}]" if part in ("beta", "threshold") else "is one number"
            raise ModelError(f"{part} {rule}: {quoted(f'{name}.{part}')} has the shape {list(tensor.shape)}")
    resets = {value: reset for reset, value in snntorch.SpikingNeuron.reset_dict.items()}
    value = float(tensors["reset_mechanism_val"])
    if value not in resets:
        raise ModelError(f"reset_mechanism_val is one of {sorted(resets)}: {quoted(name)} has {value:g}")
    factor = {part: tensors[part] for part in ("graded_spikes_factor",) if part in tensors}
    return snntorch.Leaky(  # type: ignore[no-any-return, unused-ignore]
        beta=tensors["beta"],
        threshold=tensors["threshold"],
        init_hidden=True,
        reset_mechanism=resets[int(value)],
        output=output,
        reset_delay=reset_delay,
        **factor,
    )
