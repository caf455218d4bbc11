"""Batched torch simulation of a float network in the contract's coordinates, for traces, spikes and gradients.

It computes what `spikeloom.compiler.folding` describes (g = alpha*g + I; u = beta*V + g) for all samples at once, one
population after the other. It is no executor: it keeps no framework's order of operations, so that single spikes may
differ from the float executor's. torch is loaded by the first call, not by importing this module.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import ModelError
from ..folding import Folded, fold
from ..ir import INPUT, Drive, Fire, Network, ResetMode, ResetPlace
from ..verifier import quoted

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
        if delay:
            x = torch.cat([torch.zeros_like(x[:delay]), x[:-delay]])[: len(x)]
        parts.append(x)
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
    import torch

    currents = _synaptic(layer, currents)
    if not layer.folded.spiking:
        return Response(None, _integrated(layer, currents))
    step = {
        ResetPlace.SAME: _same,
        ResetPlace.NEXT: _next,
        ResetPlace.SNNTORCH_SAME: _snntorch_same,
    }[layer.folded.reset_place]
    v = torch.zeros_like(currents[0])
    fired = torch.zeros_like(v)
    membranes, spikes = [], []
    for current in currents:
        v, u, fired = step(layer, v, fired, current, surrogate)
        membranes.append(u)
        spikes.append(fired)
    return Response(torch.stack(spikes), torch.stack(membranes))


def _synaptic(layer: Layer, currents: torch.Tensor) -> torch.Tensor:
    """CubaLIF's filtered drive; other neurons' currents as they are."""
    import torch

    if layer.alpha is None:
        return currents
    g = torch.zeros_like(currents[0])
    drive = []
    for current in currents:
        old, g = g, layer.alpha * g + current
        drive.append(old if layer.folded.drive is Drive.OLD else g)
    return torch.stack(drive)


def _integrated(layer: Layer, drive: torch.Tensor) -> torch.Tensor:
    import torch

    v = torch.zeros_like(drive[0])
    membranes = []
    for current in drive:
        v = layer.beta * v + current
        membranes.append(v)
    return torch.stack(membranes)


_State = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]
"""The membrane that is kept, the membrane that was compared, the spikes."""


def _fires(layer: Layer, u: torch.Tensor, surrogate: bool) -> torch.Tensor:
    hard = (u > layer.threshold if layer.folded.fire is Fire.GT else u >= layer.threshold).to(u.dtype)
    if not surrogate:
        return hard
    return _surrogate_spikes().apply(hard, u, layer.threshold)


@functools.cache
def _surrogate_spikes() -> Any:
    """The autograd function: spikes forward, the derivative of an arctangent backward."""
    import torch

    class SurrogateSpikes(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, hard: torch.Tensor, u: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
            unit = threshold.abs().clamp(min=1e-6)
            ctx.save_for_backward((u - threshold) / unit * (SLOPE * math.pi / 2), unit)
            return hard

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor, None]:
            x, unit = ctx.saved_tensors
            return None, gradients[0] * (SLOPE / 2) / ((1 + x * x) * unit), None

    return SurrogateSpikes


def _same(layer: Layer, v: torch.Tensor, fired: torch.Tensor, current: torch.Tensor, surrogate: bool) -> _State:
    u = layer.beta * v + current
    spike = _fires(layer, u, surrogate)
    return _reset(layer, u, spike.detach()), u, spike


def _next(layer: Layer, v: torch.Tensor, fired: torch.Tensor, current: torch.Tensor, surrogate: bool) -> _State:
    before = fired.detach()
    if layer.folded.reset_mode is ResetMode.VALUE:
        v = _reset(layer, v, before)
    u = layer.beta * v + current
    if layer.folded.reset_mode is ResetMode.SUBTRACT:
        u = u - before * layer.sub
    return u, u, _fires(layer, u, surrogate)


def _snntorch_same(
    layer: Layer, v: torch.Tensor, fired: torch.Tensor, current: torch.Tensor, surrogate: bool
) -> _State:
    before = _fires(layer, v, False).detach()
    u = layer.beta * v + current - before * layer.sub
    spike = _fires(layer, u, surrogate)
    return u - (spike.detach() - before) * layer.sub, u, spike


def _reset(layer: Layer, u: torch.Tensor, spike: torch.Tensor) -> torch.Tensor:
    if layer.folded.reset_mode is ResetMode.VALUE:
        return u + spike * (layer.v_reset - u)
    return u - spike * layer.sub
