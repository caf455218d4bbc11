"""What the layers of a traced snnTorch module are made of: weights, biases and the parameters of neurons, exactly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import snntorch
import torch

from ....hdl.errors import ModelError
from ...ir.arrays import FloatArray
from ...ir.neurons import LIF, CubaLIF, ResetMode, ResetPlace
from .trace import LinearCall, Trace


def float_type(trace: Trace, linears: Iterable[LinearCall]) -> str:
    """The one float type of everything that is not a single number (torch fits those to their operands).

    Raises ModelError where there are two, or another than float32 and float64.
    """
    tensors: dict[str, Any] = {}
    for layer, calls in trace.neurons.items():
        names = ("alpha", "beta", "threshold") if "syn" in calls[0].states else ("beta", "threshold")
        tensors |= {f"{layer}.{name}": getattr(calls[0].layer, name) for name in names}
    for call in linears:
        tensors |= {f"{call.name}.weight": call.layer.weight, f"{call.name}.bias": call.layer.bias}
    found = {
        str(tensor.dtype).removeprefix("torch."): name
        for name, tensor in tensors.items()
        if tensor is not None and tensor.ndim and tensor.is_floating_point()
    }
    if not found:
        return "float32"
    if len(found) > 1 or not found.keys() <= {"float32", "float64"}:
        held = ", ".join(f"{name!r} is {dtype}" for dtype, name in sorted(found.items()))
        raise ModelError(f"a module is float32 or float64 as a whole: {held}; convert it, e.g. with module.float()")
    return next(iter(found))


def bias_of(linear: LinearCall | None) -> FloatArray:
    """The bias of a linear layer; spikes as they are have none."""
    if linear is None or linear.layer.bias is None:
        return np.zeros(())
    return linear.layer.bias.detach().double().numpy()


def weights_of(linear: LinearCall | None, size: int) -> FloatArray:
    """[pre, post]; spikes as they are have one synapse of weight 1 each."""
    if linear is None:
        return np.eye(size)
    return linear.layer.weight.detach().double().numpy().T


def dynamics_of(
    name: str, layer: snntorch.Leaky | snntorch.Synaptic, shape: tuple[int, ...], dtype: str
) -> LIF | CubaLIF:
    """The neurons of a layer, with one parameter for all or one for each. ModelError for what the IR does not have."""
    _check_neurons(name, layer)
    mode, place = _reset(name, layer)
    threshold = _per_neuron(f"{name}.threshold", layer.threshold, shape, dtype)
    if place is not ResetPlace.SNNTORCH_SAME and mode is not ResetMode.NONE and np.any(threshold < 0):
        raise ModelError(
            f"thresholds are not negative: {name!r} has {threshold.min():g}, and snnTorch resets its membranes at the "
            "start; use a threshold of at least 0"
        )
    beta = np.clip(_per_neuron(f"{name}.beta", layer.beta, shape, dtype), 0, 1)
    if isinstance(layer, snntorch.Synaptic):
        alpha = np.clip(_per_neuron(f"{name}.alpha", layer.alpha, shape, dtype), 0, 1)
        return CubaLIF(alpha=alpha, beta=beta, threshold=threshold, reset_mode=mode, reset_place=place)
    return LIF(beta=beta, threshold=threshold, reset_mode=mode, reset_place=place)


def _check_neurons(name: str, layer: snntorch.Leaky | snntorch.Synaptic) -> None:
    for option in ("inhibition", "state_quant"):
        if getattr(layer, option):
            raise ModelError(f"{option} of snnTorch's neurons is not supported: {name!r} uses it; turn it off")
    if torch.any(layer.graded_spikes_factor != 1):
        raise ModelError(
            f"spikes are 0 or 1: {name!r} has a graded_spikes_factor of {layer.graded_spikes_factor.tolist()}; "
            "scale the weights of the next layer instead"
        )
    distances = torch.linspace(-4, 4, 1025)
    with torch.no_grad():
        if not torch.equal(layer.spike_grad(distances), (distances > 0).float()):
            raise ModelError(
                f"a neuron fires above its threshold: spike_grad of {name!r} is no step function; replace it"
            )


def _reset(name: str, layer: snntorch.Leaky | snntorch.Synaptic) -> tuple[ResetMode, ResetPlace]:
    """The reset's mode and place; of snnTorch's four kinds and none."""
    modes = ("_base_sub", "_base_zero", "_base_int")
    value = int(layer.reset_mechanism_val)
    if layer.state_function.__name__ != modes[value]:
        raise ModelError(
            f"the reset is chosen when a {type(layer).__name__} is made: {name!r} was made with another than "
            f"reset_mechanism_val {value}; make it anew with the reset_mechanism that you want"
        )
    if value == 2:
        return ResetMode.NONE, ResetPlace.SAME
    if value == 1 and layer.reset_delay and hasattr(layer, "alpha"):
        raise ModelError(
            f"a Synaptic that resets to zero a step later also loses that step's current, which is not supported: "
            f"{name!r} does; use reset_delay=False, or subtract"
        )
    if value == 1:
        return ResetMode.VALUE, ResetPlace.NEXT if layer.reset_delay else ResetPlace.SAME
    return ResetMode.SUBTRACT, ResetPlace.NEXT if layer.reset_delay else ResetPlace.SNNTORCH_SAME


def _per_neuron(name: str, tensor: torch.Tensor, shape: tuple[int, ...], dtype: str) -> FloatArray:
    """A parameter as one number, or one per neuron, rounded to the network's float type as torch does."""
    value = tensor.detach().numpy().astype(dtype).astype(np.float64)
    if value.size == 1:
        return value.reshape(())
    if value.ndim > len(shape) and all(n == 1 for n in value.shape[: value.ndim - len(shape)]):
        value = value.reshape(value.shape[value.ndim - len(shape) :])
    try:
        return np.broadcast_to(value, shape).ravel()
    except ValueError:
        raise ModelError(
            f"a parameter is one number or one per neuron {list(shape)}: {name!r} has the shape {list(value.shape)}"
        ) from None
