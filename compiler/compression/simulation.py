"""Batched torch simulation of a float network in the contract's coordinates, for traces, spikes and gradients.

It computes what `spikeloom.compiler.neurons.contract` describes (g = alpha*g + I; u = beta*V + g) for all samples at
once, one population after the other. It is no executor: it keeps no framework's order of operations, so that single
spikes may differ from the float executor's. torch is loaded by the first call, not by importing this module.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import ModelError, quoted
from ..ir.network import INPUT, Network
from ..ir.neurons import Drive, Fire, ResetMode, ResetPlace
from ..neurons.contract import Folded, fold

if TYPE_CHECKING:
    import torch

SLOPE = 2.0
"""Steepness of the surrogate arctangent (Fang et al., ICCV 2021) in units of the threshold."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """One population as tensors: `weight` [fan-in of all projections, n], parameters (n,).

    `sources` names the pre populations in the order of the weight's rows, with their sizes and delays.
    """

    folded: Folded
    sources: tuple[tuple[str, int, int], ...]
    weight: torch.Tensor
    bias: torch.Tensor
    alpha: torch.Tensor | None
    beta: torch.Tensor
    threshold: torch.Tensor
    sub: torch.Tensor
    v_reset: torch.Tensor

    @property
    def name(self) -> str:
        return self.folded.population.name


@dataclass(frozen=True, eq=False)
class Response:
    """A population's spikes (None: a readout) and compared membranes u (a readout's V), [steps, samples, n]."""

    spikes: torch.Tensor | None
    membranes: torch.Tensor


def layers_of(network: Network, device: str = "cpu", dtype: torch.dtype | None = None) -> list[Layer]:
    """The populations of a float network in evaluation order (`dtype` float32 unless told).

    Raises ModelError for recurrent projections and for delays per synapse.
    """
    position = {INPUT: -1, **{p.name: i for i, p in enumerate(network.populations)}}
    for projection in network.projections:
        arrow = f"{quoted(projection.pre)} -> {quoted(projection.post)}"
        if position[projection.pre] >= position[projection.post]:
            raise ModelError(f"compression on data works on feed-forward networks: {arrow} is recurrent")
        if projection.delay.ndim:
            raise ModelError(f"compression on data takes one delay per projection: {arrow} has one per synapse")
    return [_layer(network, fold(network, population), device, dtype) for population in network.populations]


def _layer(network: Network, folded: Folded, device: str, dtype: torch.dtype | None) -> Layer:
    import torch

    def tensor(array: npt.NDArray[Any]) -> torch.Tensor:
        return torch.as_tensor(np.array(array), dtype=dtype or torch.float32, device=device)

    return Layer(
        folded=folded,
        sources=tuple((p.pre, network.size_of(p.pre), int(p.delay)) for p in folded.projections),
        weight=tensor(np.concatenate(folded.weights)),
        bias=tensor(folded.bias),
        alpha=None if folded.alpha is None else tensor(folded.alpha),
        beta=tensor(folded.beta),
        threshold=tensor(folded.threshold),
        sub=tensor(folded.sub),
        v_reset=tensor(folded.v_reset),
    )


def gather(layer: Layer, spikes: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """What reaches a population's synapses, [steps, samples, fan-in], from its sources' spikes."""
    import torch

    parts = []
    for pre, _, delay in layer.sources:
        x = spikes[pre]
        parts.append(_delayed(x, delay) if delay else x)
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def inputs_of(samples: npt.NDArray[Any], device: str = "cpu", dtype: torch.dtype | None = None) -> torch.Tensor:
    """Samples [samples, steps, inputs] as a tensor [steps, samples, inputs]."""
    import torch

    return torch.as_tensor(samples, device=device).transpose(0, 1).to(dtype or torch.float32)


def simulate(
    layers: Sequence[Layer],
    inputs: torch.Tensor,
    weights: Sequence[torch.Tensor] | None = None,
    biases: Sequence[torch.Tensor] | None = None,
    surrogate: bool = False,
) -> dict[str, Response]:
    """Every population's response to `inputs` [steps, samples, inputs], by name.

    `weights` and `biases` take the place of the layers' own; `surrogate` lets gradients pass through the spikes.
    """
    spikes = {INPUT: inputs}
    responses = {}
    for index, layer in enumerate(layers):
        weight = layer.weight if weights is None else weights[index]
        bias = layer.bias if biases is None else biases[index]
        response = respond(layer, gather(layer, spikes) @ weight + bias, surrogate)
        if response.spikes is not None:
            spikes[layer.name] = response.spikes
        responses[layer.name] = response
    return responses


def respond(layer: Layer, currents: torch.Tensor, surrogate: bool = False) -> Response:
    """A population's response to its input currents [steps, samples, n], bias included."""
    leaky, fires = _functions()
    if layer.alpha is not None:
        drive = leaky.apply(currents, layer.alpha)
        currents = _delayed(drive, 1) if layer.folded.drive is Drive.OLD else drive
    if not layer.folded.spiking:
        return Response(None, leaky.apply(currents, layer.beta))
    return Response(*(fires.apply(currents, layer) if surrogate else _fired(layer, currents)))


def _delayed(x: torch.Tensor, steps: int) -> torch.Tensor:
    """What was there `steps` ago, zeros at first."""
    import torch

    return torch.cat([torch.zeros_like(x[:steps]), x[:-steps]])[: len(x)]


def _leaky(x: torch.Tensor, leak: torch.Tensor) -> torch.Tensor:
    """y[t] = leak * y[t - 1] + x[t]."""
    y = x.clone()
    for t in range(1, len(y)):
        y[t] += leak * y[t - 1]
    return y


def _fired(layer: Layer, currents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes and compared membranes."""
    import torch

    step = {
        ResetPlace.SAME: _same,
        ResetPlace.NEXT: _next,
        ResetPlace.SNNTORCH_SAME: _snntorch_same,
    }[layer.folded.reset_place]
    v = fired = torch.zeros_like(currents[0])
    membranes, spikes = torch.empty_like(currents), torch.empty_like(currents)
    for t, current in enumerate(currents):
        v, membranes[t], fired = step(layer, v, fired, current)
        spikes[t] = fired
    return spikes, membranes


_State = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]
"""The membrane that is kept, the membrane that was compared, the spikes."""


def _fires(layer: Layer, u: torch.Tensor) -> torch.Tensor:
    return (u > layer.threshold if layer.folded.fire is Fire.GT else u >= layer.threshold).to(u.dtype)


def _same(layer: Layer, v: torch.Tensor, fired: torch.Tensor, current: torch.Tensor) -> _State:
    u = layer.beta * v + current
    spike = _fires(layer, u)
    return _reset(layer, u, spike), u, spike


def _next(layer: Layer, v: torch.Tensor, fired: torch.Tensor, current: torch.Tensor) -> _State:
    if layer.folded.reset_mode is ResetMode.VALUE:
        v = _reset(layer, v, fired)
    u = layer.beta * v + current
    if layer.folded.reset_mode is ResetMode.SUBTRACT:
        u = u - fired * layer.sub
    return u, u, _fires(layer, u)


def _snntorch_same(layer: Layer, v: torch.Tensor, fired: torch.Tensor, current: torch.Tensor) -> _State:
    before = _fires(layer, v)
    u = layer.beta * v + current - before * layer.sub
    spike = _fires(layer, u)
    return u - (spike - before) * layer.sub, u, spike


def _reset(layer: Layer, u: torch.Tensor, spike: torch.Tensor) -> torch.Tensor:
    if layer.folded.reset_mode is ResetMode.VALUE:
        return u + spike * (layer.v_reset - u)
    return u - spike * layer.sub


@functools.cache
def _functions() -> tuple[Any, Any]:
    """The autograd functions `leaky(x, leak)` and `fires(currents, layer) -> (spikes, membranes)`.

    One step of a membrane depends on the last by its leak alone, or not at all where it was reset to a value: spikes
    count as constants in resets. So the gradient of all steps is one leaky sum backwards in time.
    """
    import torch

    class Leaky(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor, leak: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(leak)
            return _leaky(x, leak)

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
            (leak,) = ctx.saved_tensors
            return _leaky(gradients[0].flip(0), leak).flip(0), None

    class Fires(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, currents: torch.Tensor, layer: Layer) -> tuple[torch.Tensor, torch.Tensor]:
            spikes, membranes = _fired(layer, currents)
            ctx.layer = layer
            ctx.save_for_backward(spikes, membranes)
            return spikes, membranes

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
            spikes, membranes = ctx.saved_tensors
            layer = ctx.layer
            unit = layer.threshold.abs().clamp(min=1e-6)
            x = (membranes - layer.threshold) * (SLOPE * math.pi / 2 / unit)
            gradient = gradients[0] * (SLOPE / 2 / unit) / x.square_().add_(1)
            gradient += gradients[1]
            forgets = layer.folded.reset_mode is ResetMode.VALUE
            for t in range(len(gradient) - 2, -1, -1):
                passed = layer.beta * gradient[t + 1]
                gradient[t] += passed * (1 - spikes[t]) if forgets else passed
            return gradient, None

    return Leaky, Fires
