"""Populations whose spikes come back to them: which they are, and their steps, one after the other.

`simulation` runs a population through all steps before the next one. That is not possible where populations feed each
other: those go through each step together.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..ir.network import INPUT
from ..neurons.contract import NeuronModel
from ..neurons.step import TENSORS, State, Tensors, step
from .rare import summed
from .sources import gather
from .surrogate import slope_in_loops

if TYPE_CHECKING:
    import torch

    from .simulation import Layer


def groups_of(layers: Sequence[Layer]) -> list[list[int]]:
    """The layers' numbers in groups that feed each other, mostly of one, each behind the groups that feed it."""
    number = {layer.name: index for index, layer in enumerate(layers)}
    into = [{number[pre] for pre, _ in layer.sources if pre != INPUT} for layer in layers]
    before = [_reached(index, into) for index in range(len(layers))]
    groups = {min([index, *(j for j in before[index] if index in before[j])]) for index in range(len(layers))}
    ordered = sorted(groups, key=lambda index: (len(before[index] | {index}), index))
    return [sorted({first, *(j for j in before[first] if first in before[j])}) for first in ordered]


def _reached(start: int, into: Sequence[set[int]]) -> set[int]:
    """The layers from which a way leads to this one."""
    reached: set[int] = set()
    waiting = list(into[start])
    while waiting:
        index = waiting.pop()
        if index not in reached:
            reached.add(index)
            waiting += into[index]
    return reached


def is_recurrent(layers: Sequence[Layer], group: Sequence[int]) -> bool:
    """Whether the layers of a group hear themselves."""
    return len(group) > 1 or any(pre == layers[group[0]].name for pre, _ in layers[group[0]].sources)


@dataclass(frozen=True, eq=False)
class Edge:
    """What a population hears of a group that it is in: the source's number and name, its delay, and its weights."""

    number: int
    pre: str
    delay: int
    weight: torch.Tensor


def from_outside(
    layer: Layer, inside: Collection[str], spikes: Mapping[str, torch.Tensor], weight: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, list[Edge]]:
    """The currents from all that is not `inside` the group, bias included, and the edges from what is."""
    import torch

    parts = torch.split(weight, [len(part) for part in layer.form.weights])
    outer = [n for n, (pre, _) in enumerate(layer.sources) if pre not in inside]
    first = next(iter(spikes.values()))
    if outer:  # all steps at once
        currents = summed(gather(layer, spikes, outer), torch.cat([parts[n] for n in outer])) + bias
    else:
        currents = bias.expand(len(first), first.shape[1] * layer.view.members, -1)
    return currents, [Edge(n, *source, parts[n]) for n, source in enumerate(layer.sources) if source[0] in inside]


def hears_itself_plainly(layers: Sequence[Layer], group: Sequence[int]) -> bool:
    """Whether a group is one population whose neurons have weights of their own for all that comes back."""
    if len(group) > 1:
        return False
    layer = layers[group[0]]
    back = [n for n, (pre, _) in enumerate(layer.sources) if pre == layer.name]
    return layer.view.is_plain and all(layer.view.connectivities[n].one_per_pair for n in back)


class _Stepped:
    """One layer of a group on its way through the steps."""

    def __init__(
        self,
        layer: Layer,
        inside: set[str],
        spikes: Mapping[str, torch.Tensor],
        weight: torch.Tensor,
        bias: torch.Tensor,
    ) -> None:
        import torch

        self.currents, self.edges = from_outside(layer, inside, spikes, weight, bias)
        self.layer = layer
        self.state = State.cleared(torch.zeros_like(self.currents[0]))
        self.spikes: list[torch.Tensor] = []
        self.membranes: list[torch.Tensor] = []

    def advance(self, time: int, others: Mapping[str, _Stepped], surrogate: bool) -> None:
        """One step, after those of the layers before."""
        current = self.currents[time]
        for edge in self.edges:
            if time >= edge.delay:
                arriving = others[edge.pre].spikes[time - edge.delay]
                current = current + self.layer.view.seen(arriving[None], edge.number)[0] @ edge.weight
        domain = _Learning(self.layer) if surrogate else TENSORS
        self.state = step(domain, self.layer.model, self.state, current)
        self.spikes.append(self.layer.view.by_neuron(self.state.spiked[None])[0])
        self.membranes.append(self.state.u)


def step_through(
    layers: Sequence[Layer],
    group: Sequence[int],
    spikes: Mapping[str, torch.Tensor],
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor],
    surrogate: bool,
) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    """Spikes and compared membranes [steps, samples, n] of the layers of a group, which hear `spikes` and each other.

    Gradients go through every step, its resets and thresholds too, as in `gradients.around_loops`.
    """
    import torch

    inside = {layers[index].name for index in group}
    outside = {name: train for name, train in spikes.items() if name not in inside}
    running = {layers[i].name: _Stepped(layers[i], inside, outside, weights[i], biases[i]) for i in group}
    for time in range(len(spikes[INPUT])):
        for index in group:
            running[layers[index].name].advance(time, running, surrogate)
    result = {}
    for index in group:
        one = running[layers[index].name]
        membranes = one.layer.view.by_neuron(torch.stack(one.membranes))
        result[index] = (torch.stack(one.spikes), membranes)
    return result


class _Learning(Tensors):
    """torch tensors whose spikes have a gradient, by the membrane that is compared and by the threshold."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def compared(self, model: NeuronModel, u: Any) -> tuple[Any, Any]:
        return u, _fires().apply(u, model.threshold, self.fires(model, u.detach()), self.layer)


@functools.cache
def _fires() -> Any:
    """The autograd function `(membranes, thresholds, spikes, layer) -> spikes`."""
    import torch

    class Fires(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any, membranes: torch.Tensor, thresholds: torch.Tensor, spikes: torch.Tensor, layer: Layer
        ) -> torch.Tensor:
            ctx.layer = layer
            ctx.save_for_backward(membranes, thresholds)
            return spikes

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
            membranes, thresholds = ctx.saved_tensors
            gradient = gradients[0] * slope_in_loops(ctx.layer, membranes, thresholds - ctx.layer.threshold)
            return gradient, -gradient if ctx.needs_input_grad[1] else None, None, None

    return Fires
