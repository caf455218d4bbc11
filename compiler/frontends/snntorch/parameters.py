"""What the layers of a traced snnTorch module are made of: weights, biases and the parameters of neurons, exactly."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import snntorch
import torch

from ....hdl.errors import ModelError
from ...ir.arrays import FloatArray, IntArray
from ...ir.neurons import LIF, CubaLIF, ResetMode, ResetPlace
from ..chain import Chain
from .adaptive import AdaptiveLeaky
from .layers import LayerCall
from .trace import RECURRENT, LinearCall, OneToOne, Trace, has_delays

Layer = LinearCall | OneToOne | LayerCall


def float_type(trace: Trace, weights: Iterable[Layer]) -> str:
    """The one float type of everything that is not a single number (torch fits those to their operands).

    Raises ModelError where there are two, or another than float32 and float64.
    """
    tensors: dict[str, Any] = {}
    for layer, calls in trace.neurons.items():
        names = [name for name in ("alpha", "beta", "threshold", "rho", "jump") if hasattr(calls[0].layer, name)]
        tensors |= {f"{layer}.{name}": getattr(calls[0].layer, name) for name in names}
    for call in weights:
        if isinstance(call, OneToOne):
            tensors[call.name] = call.weight
        elif isinstance(call, LayerCall):
            tensors |= {f"{call.name}.{name}": tensor for name, tensor in call.tensors.items()}
        else:
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


def recurrent_weights(name: str, layer: snntorch.SpikingNeuron) -> LinearCall | OneToOne:
    """The weights through which recurrent neurons hear themselves; ModelError for a convolution."""
    part = layer.recurrent
    if not layer.all_to_all:
        return OneToOne(f"{name}.V", part.V)
    if isinstance(part, torch.nn.Linear) and type(part).forward is torch.nn.Linear.forward:
        return LinearCall(f"{name}.recurrent", part, np.empty((0, part.in_features), np.int64))
    raise ModelError(
        f"recurrent neurons have linear_features, or all_to_all=False and V: {name!r} has a {type(part).__name__}; "
        "make it one of these"
    )


def chain_of(layers: Sequence[Layer], shape: tuple[int, ...], neurons: tuple[int, ...]) -> Chain:
    """What stands between spikes in `shape` and the `neurons` that they reach through `layers`."""
    chain = Chain(shape=shape)
    for layer in layers:
        chain = layer.onto(chain)
    return chain.reshaped(neurons)


def delay_of(layers: Sequence[Layer], lag: int) -> IntArray:
    """The delay of a projection: that of its spikes, `lag`, and of its synapses [pre, post] where they have some.

    ModelError for delays between two steps, and behind a pooling.
    """
    late = [layer for layer in layers if isinstance(layer, LinearCall) and has_delays(layer.layer)]
    if not late:
        return np.array(lag)
    linear = late[0]
    delays, whole = linear.layer.delays, linear.layer.delays_int
    if len(layers) > 1:
        raise ModelError(f"synapses with delays have spikes as they are: {linear.name!r} is behind another layer")
    if not np.array_equal(delays, whole):
        wrong = delays[delays != whole][0]
        raise ModelError(
            f"delays are whole steps: {linear.name!r} has {wrong:g}; round them, with "
            f"{linear.name}.delay.data.round_(), and train on"
        )
    return lag + np.asarray(whole, np.int64)


def dynamics_of(name: str, layer: snntorch.SpikingNeuron, shape: tuple[int, ...], dtype: str) -> LIF | CubaLIF:
    """The neurons of a layer, with one parameter for all or one for each. ModelError for what the IR does not have."""
    _check_neurons(name, layer)
    mode, place = _reset(name, layer)
    threshold = _per_neuron(f"{name}.threshold", layer.threshold, shape, dtype)
    late = place is not ResetPlace.SNNTORCH_SAME and mode is not ResetMode.NONE
    if late and not isinstance(layer, AdaptiveLeaky) and np.any(threshold < 0):
        raise ModelError(
            f"thresholds are not negative: {name!r} has {threshold.min():g}, and snnTorch resets its membranes at the "
            "start; use a threshold of at least 0"
        )
    beta = np.clip(_per_neuron(f"{name}.beta", layer.beta, shape, dtype), 0, 1)
    if hasattr(layer, "alpha"):
        alpha = np.clip(_per_neuron(f"{name}.alpha", layer.alpha, shape, dtype), 0, 1)
        return CubaLIF(alpha=alpha, beta=beta, threshold=threshold, reset_mode=mode, reset_place=place)
    rho = jump = None
    if isinstance(layer, AdaptiveLeaky):
        rho = np.clip(_per_neuron(f"{name}.rho", layer.rho, shape, dtype), 0, 1)
        jump = _per_neuron(f"{name}.jump", layer.jump, shape, dtype)
    return LIF(beta=beta, threshold=threshold, rho=rho, jump=jump, reset_mode=mode, reset_place=place)


def _check_neurons(name: str, layer: snntorch.SpikingNeuron) -> None:
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


def _reset(name: str, layer: snntorch.SpikingNeuron) -> tuple[ResetMode, ResetPlace]:
    """The reset's mode and place; of snnTorch's four kinds and none."""
    modes = ("_base_sub", "_base_zero", "_base_int")
    value = int(layer.reset_mechanism_val)
    if layer.state_function.__name__ != modes[value]:
        raise ModelError(
            f"the reset is chosen when a {type(layer).__name__} is made: {name!r} was made with another than "
            f"reset_mechanism_val {value}; make it anew with the reset_mechanism that you want"
        )
    if isinstance(layer, AdaptiveLeaky):
        mode = ResetMode.VALUE if value == 1 else ResetMode.SUBTRACT
        return mode, ResetPlace.NEXT if layer.reset_delay else ResetPlace.SAME
    if value == 2:
        return ResetMode.NONE, ResetPlace.SAME
    delayed = layer.reset_delay or not _resets_at_once(layer)
    if delayed and not layer.reset_delay:
        warnings.warn(
            f"the {type(layer).__name__} {name!r} resets a step later whatever its reset_delay says, in this release "
            "of snnTorch; it is read as it runs",
            stacklevel=2,
        )
    if value == 1 and delayed and type(layer) is not snntorch.Leaky:
        raise ModelError(
            f"a {type(layer).__name__} that resets to zero a step later also loses that step's current, which is not "
            f"supported: {name!r} does; use reset_delay=False, or subtract"
        )
    if value == 1:
        return ResetMode.VALUE, ResetPlace.NEXT if delayed else ResetPlace.SAME
    return ResetMode.SUBTRACT, ResetPlace.NEXT if delayed else ResetPlace.SNNTORCH_SAME


def _resets_at_once(layer: snntorch.SpikingNeuron) -> bool:
    """Whether recurrent neurons made with reset_delay=False do so: snnTorch 1.0.0's RSynaptic does not.

    A copy is driven from rest to 1 above its threshold: its membrane stays there where it does not reset at once.
    """
    if type(layer) not in RECURRENT:
        return True
    probe = copy.deepcopy(layer)
    probe.init_hidden, probe.output = False, True
    with torch.no_grad():
        given = [layer.threshold, layer.beta, *([] if layer.all_to_all else [layer.recurrent.V])]
        shape = (layer.linear_features,) if layer.all_to_all else torch.broadcast_shapes(*(t.shape for t in given))
        rest = torch.zeros(1, *shape, dtype=probe.threshold.dtype)
        high = (layer.threshold + 1).expand_as(rest)
        states = [rest] * (3 if hasattr(layer, "alpha") else 2)
        membranes = probe(high - layer.recurrent(rest), *states)[-1]
    return not torch.allclose(membranes, high)


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
