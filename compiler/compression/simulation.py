"""Batched torch simulation of a float network in the contract's coordinates, for traces, spikes and gradients.

It takes the steps of `spikeloom.compiler.neurons.step` for all samples at once, a population after the other (those
that feed each other together, `recurrence`), and adds their gradients. It is no executor: it keeps no framework's order
of operations, so that single spikes may differ from the float executor's. torch is loaded by the first call, not by
importing this module.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import ModelError, quoted
from ..ir.network import INPUT, Network
from ..ir.neurons import ResetMode, ResetPlace
from ..neurons.contract import ContractForm, Kept, NeuronModel, contract_form
from ..neurons.step import TENSORS, State, steps
from .gradients import Course, around_loops, of_subtraction, passes_of, straight
from .masked import summed_where
from .rare import summed
from .recurrence import Edge, from_outside, groups_of, hears_itself_plainly, is_recurrent, step_through
from .sources import gather
from .view import View

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """One population as tensors: `weight` [fan-in of all projections, groups], the constants of its groups (groups,).

    A group are the neurons that share weights (see `view`), mostly one; `form` has one neuron per group too.
    `sources` names the pre populations in the order of the weight's rows, with their delays.
    """

    form: ContractForm
    view: View
    sources: tuple[tuple[str, int], ...]
    weight: torch.Tensor
    bias: torch.Tensor
    model: NeuronModel
    beta: torch.Tensor
    alpha: torch.Tensor | None

    @property
    def name(self) -> str:
        return self.form.population.name

    @property
    def threshold(self) -> torch.Tensor:
        value: torch.Tensor = self.model.threshold
        return value

    @property
    def sub(self) -> torch.Tensor:
        value: torch.Tensor = self.model.sub
        return value

    @property
    def v_reset(self) -> torch.Tensor:
        value: torch.Tensor = self.model.v_reset
        return value

    def leaking(self, beta: torch.Tensor) -> Layer:
        """The same neurons with other leaks of their membranes, (groups,)."""
        return replace(self, beta=beta, model=replace(self.model, leak=Kept(beta)))

    def settled(self, trained: Collection[str]) -> Layer:
        """The same with what was trained of `beta` and `sub` as the network has it: `form` knows it too."""
        values: dict[str, Any] = {
            name: np.asarray(getattr(self, name).detach().cpu().double().numpy()) for name in trained
        }
        population = self.form.population
        neurons: Any = population.dynamics
        dynamics = replace(neurons, **{name: value[self.view.groups] for name, value in values.items()})
        form = replace(self.form, population=replace(population, dynamics=dynamics), **values)
        model = replace(self.model, sub=self.sub.detach())
        return replace(replace(self, model=model, form=form).leaking(self.beta.detach()))


@dataclass(frozen=True, eq=False)
class Response:
    """A population's spikes (None: a readout) and compared membranes u (a readout's V), [steps, samples, n]."""

    spikes: torch.Tensor | None
    membranes: torch.Tensor


def layers_of(network: Network, device: str = "cpu", dtype: torch.dtype | None = None) -> list[Layer]:
    """The populations of a float network in evaluation order (`dtype` float32 unless told).

    Raises ModelError for delays per synapse, and for what `View` cannot show.
    """
    for projection in network.projections:
        arrow = f"{quoted(projection.pre)} -> {quoted(projection.post)}"
        if projection.delay.ndim:
            raise ModelError(
                f"compression on data takes one delay per projection: {arrow} has several; choose magnitude, "
                "or one delay"
            )
    return [_layer(contract_form(network, population), device, dtype) for population in network.populations]


def _layer(neurons: ContractForm, device: str, dtype: torch.dtype | None) -> Layer:
    import torch

    view = View.of(neurons)
    form = view.grouped(neurons)

    def tensor(array: npt.NDArray[Any]) -> torch.Tensor:
        return torch.as_tensor(np.array(array), dtype=dtype or torch.float32, device=device)

    return Layer(
        form=form,
        view=view,
        sources=tuple((p.pre, int(p.delay)) for p in form.projections),
        weight=tensor(np.concatenate(form.weights)),
        bias=tensor(form.bias),
        model=form.model.converted(tensor),
        beta=tensor(form.beta),
        alpha=None if form.alpha is None else tensor(form.alpha),
    )


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
    kept: Sequence[torch.Tensor] | None = None,
) -> dict[str, Response]:
    """Every population's response to `inputs` [steps, samples, inputs], by name.

    `weights` and `biases` take the place of the layers' own; `surrogate` lets gradients pass through the spikes. Where
    masks say which weights are `kept`, all others are 0 and need no gradient.
    """
    spikes = {INPUT: inputs}
    weights = [layer.weight for layer in layers] if weights is None else weights
    biases = [layer.bias for layer in layers] if biases is None else biases
    responses: dict[str, Response] = {}
    for group in groups_of(layers):
        new = respond_together(layers, group, spikes, weights, biases, surrogate, kept)
        spikes |= {name: response.spikes for name, response in new.items() if response.spikes is not None}
        responses |= new
    return responses


def respond_together(
    layers: Sequence[Layer],
    group: Sequence[int],
    spikes: Mapping[str, torch.Tensor],
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor],
    surrogate: bool = False,
    kept: Sequence[torch.Tensor] | None = None,
) -> dict[str, Response]:
    """The responses of a group of populations (`groups_of`) to the spikes of all others, by name."""
    if is_recurrent(layers, group) and hears_itself_plainly(layers, group):
        layer, outside = layers[group[0]], dict(spikes)
        outside.pop(layer.name, None)  # what it said before
        currents, edges = from_outside(layer, (layer.name,), outside, weights[group[0]], biases[group[0]])
        return {layer.name: respond(layer, currents, surrogate, edges)}
    if is_recurrent(layers, group):
        stepped = step_through(layers, group, spikes, weights, biases, surrogate)
        return {
            layers[i].name: Response(fired if layers[i].model.spiking else None, membranes)
            for i, (fired, membranes) in stepped.items()
        }
    (index,) = group
    layer = layers[index]
    arriving, weight = gather(layer, spikes), weights[index]
    sums = summed(arriving, weight) if kept is None else summed_where(arriving, weight, kept[index])
    return {layer.name: respond(layer, sums + biases[index], surrogate)}


def respond(layer: Layer, currents: torch.Tensor, surrogate: bool = False, edges: Sequence[Edge] = ()) -> Response:
    """A population's response to the input currents of its groups [steps, samples * members, groups], bias included,
    and to what it hears of itself by its `edges`."""
    delays, weights = [edge.delay for edge in edges], [edge.weight for edge in edges]
    if surrogate:
        spikes, membranes = _steps().apply(currents, layer.beta, layer.sub, layer, delays, *weights)
    else:
        spikes, membranes = _stepped(layer, currents, _Course(), delays, weights)
    by_neuron = layer.view.by_neuron
    return Response(by_neuron(spikes) if layer.model.spiking else None, by_neuron(membranes))


@dataclass(eq=False)
class _Course:
    """What gradients need of a population's steps beside spikes and membranes, where it has it: 1 where the floor ended
    a step, else 0, by how much thresholds were higher, and where leaks or what a spike subtracts are trained the
    membranes that leaked."""

    floored: torch.Tensor | None = None
    raised: torch.Tensor | None = None
    leaked: torch.Tensor | None = None

    @classmethod
    def of(cls, model: NeuronModel, currents: torch.Tensor, trained: bool) -> _Course:
        """Room for all steps."""
        import torch

        present = (model.v_min is not None, model.jump is not None, trained)
        return cls(*(torch.empty_like(currents) if there else None for there in present))


def _stepped(
    layer: Layer,
    currents: torch.Tensor,
    course: _Course,
    delays: Sequence[int] = (),
    weights: Sequence[torch.Tensor] = (),
) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes and compared membranes; what `course` has room for is written there.

    What a population hears of itself comes so many steps late (`delays`) by these `weights`.
    """
    import torch

    membranes, spikes = torch.empty_like(currents), torch.empty_like(currents)

    def heard() -> Iterator[torch.Tensor]:
        for t, current in enumerate(currents):
            for delay, weight in zip(delays, weights, strict=True):
                if t >= delay:
                    current = current + spikes[t - delay] @ weight
            yield current

    kept = torch.zeros_like(currents[0])
    for t, state in enumerate(steps(TENSORS, layer.model, heard(), torch.zeros_like(currents[0]))):
        spikes[t], membranes[t] = state.spiked, state.u
        if course.floored is not None:
            course.floored[t] = state.v <= layer.model.v_min
        if course.raised is not None:
            course.raised[t] = state.a
        if course.leaked is not None:
            course.leaked[t] = kept
            kept = _leaking_next(layer.model, state)
    return spikes, membranes


def _leaking_next(model: NeuronModel, state: State) -> torch.Tensor:
    """What the leak of the next step takes of: the membrane, or what a late reset makes of it."""
    late = model.spiking and model.reset_place is ResetPlace.NEXT and model.reset_mode is ResetMode.VALUE
    kept: torch.Tensor = TENSORS.chosen(state.spiked, model.v_reset, state.v) if late else state.v
    return kept


@functools.cache
def _steps() -> Any:
    """The autograd function `(currents, beta, sub, layer, delays, *weights) -> (spikes, membranes)`.

    `beta` and `sub` are the layer's, `delays` and `weights` those of what it hears of itself.

    One step of a membrane depends on the last by its leak alone, or not at all where it was reset to a value or ended
    on the floor: spikes count as constants in resets and in thresholds that adapt. So the gradient of all steps is one
    leaky sum backwards in time, and one more for the synaptic current of a CubaLIF. Where spikes come back they are no
    constants (`gradients.around_loops`).
    """
    import torch

    class Steps(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any,
            currents: torch.Tensor,
            beta: torch.Tensor,
            sub: torch.Tensor,
            layer: Layer,
            delays: Sequence[int],
            *weights: torch.Tensor,
        ) -> tuple[torch.Tensor, torch.Tensor]:
            course = _Course.of(layer.model, currents, any(ctx.needs_input_grad[1:3]))
            spikes, membranes = _stepped(layer, currents, course, delays, weights)
            ctx.layer, ctx.delays = layer, delays
            ctx.save_for_backward(spikes, membranes, course.floored, course.raised, course.leaked, *weights)
            return spikes, membranes

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
            spikes, membranes, floored, raised, leaked, *weights = ctx.saved_tensors
            layer = ctx.layer
            passes = passes_of(layer, spikes, floored)
            if weights:
                course = Course(layer, spikes, membranes, floored, raised)
                gradient, given = around_loops(course, gradients, ctx.delays, weights)
            else:
                gradient, given = straight(layer, gradients, membranes, raised, passes)
            leaks = (gradient * leaked).sum(dim=(0, 1)) if ctx.needs_input_grad[1] else None
            subs = of_subtraction(layer, gradient, spikes, leaked, passes) if ctx.needs_input_grad[2] else None
            back = [
                spikes[: len(spikes) - d].flatten(0, 1).T @ given[d:].flatten(0, 1) if d < len(spikes) else None
                for d in ctx.delays
            ]
            return given, leaks, subs, None, None, *back

    return Steps
