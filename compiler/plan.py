"""The back half of the compiler: an integer network becomes a plan of engines, encodings and memory images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..hdl.core import CORE_INPUT, Core, LayerInstance
from ..hdl.decay import DecayFormat, RoundingRule
from ..hdl.errors import ModelError
from ..hdl.layer import LayerFormat, LayerImage
from ..hdl.memory import Family, MemoryShape
from ..hdl.neurons import NeuronFormat
from ..hdl.resources import Resources
from .bounds import accumulator_bits, signed_bits
from .encode import encode_rows
from .ir import (
    INPUT,
    Decay,
    IntArray,
    IntegerDynamics,
    Kind,
    Network,
    Population,
    Projection,
    Quantised,
    ResetMode,
)
from .verifier import quoted, verify


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """One memory of the design: its layer's number, its role (`rows`, `entries`, `state`, `parameters`), its shape."""

    layer: int
    role: str
    shape: MemoryShape


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """One population and its engine. `synapses` counts the weights that are not zero."""

    population: str
    instance: LayerInstance
    synapses: int
    weight_levels: int

    @property
    def entropy_bits(self) -> float:
        """The bound log2 C(rows*columns, synapses) + synapses*ceil(log2 levels) on the bits that weights need."""
        form = self.instance.form.rows
        cells, chosen = form.pre * form.post, self.synapses
        positions = math.lgamma(cells + 1) - math.lgamma(chosen + 1) - math.lgamma(cells - chosen + 1)
        return positions / math.log(2) + chosen * math.ceil(math.log2(max(1, self.weight_levels)))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which engine runs which population, how its weights are encoded, and what its memories hold."""

    network: Network
    family: Family
    layers: tuple[LayerPlan, ...]

    @property
    def populations(self) -> tuple[str, ...]:
        """Population names in layer order, which is the order of the core's traces."""
        return tuple(layer.population for layer in self.layers)

    @cached_property
    def memories(self) -> tuple[MemoryUse, ...]:
        return tuple(
            MemoryUse(layer=number, role=role, shape=shape)
            for number, layer in enumerate(self.layers)
            for role, shape in layer.instance.form.memories(self.family).items()
        )

    @property
    def brams(self) -> int:
        """Block RAMs of the core, exactly."""
        return sum(memory.shape.brams for memory in self.memories)

    @property
    def needs(self) -> Resources:
        """What is known of the core's cost before any tool runs: its block RAMs."""
        return Resources(brams=self.brams)

    def core(self, trace: bool = False) -> Core:
        """The hardware; with `trace`, with a monitor per population."""
        return Core(
            self.network.input_size,
            [layer.instance for layer in self.layers],
            self.populations.index(self.network.output),
            self.family,
            trace,
        )


def make_plan(network: Network, family: str = "ice40") -> Plan:
    """Plan an integer network for a device family: one engine with one lane per population.

    Raises ModelError where the network breaks a rule of the IR or needs what the hardware does not have.
    """
    verify(network)
    for check in (_is_integer, _has_no_cubalif, _has_no_recurrence, _has_no_delays):
        check(network)
    target = Family(family)
    numbers = {population.name: number for number, population in enumerate(network.populations)}
    layers = tuple(_plan_layer(network, population, numbers, target) for population in network.populations)
    return Plan(network=network, family=target, layers=layers)


def require_spiking_output(network: Network) -> None:
    """ModelError where the output never fires: the hardware's output is spikes."""
    dynamics = network.population(network.output).dynamics
    kind = dynamics.kind
    if kind is Kind.LI:
        raise ModelError(
            f"the output of a core is spikes: population {quoted(network.output)} is LI, which never fires; "
            "end the network with IF or LIF neurons"
        )


def _is_integer(network: Network) -> None:
    if not network.is_integer:
        raise ModelError("hardware executes integer networks: this one has float weights; quantise it first")


def _has_no_cubalif(network: Network) -> None:
    for population in network.populations:
        if population.dynamics.kind is Kind.CUBALIF:
            raise ModelError(
                f"the hardware has IF, LIF and LI neurons, not CubaLIF: population {quoted(population.name)}; "
                "use the reference executor"
            )


def _has_no_recurrence(network: Network) -> None:
    numbers = {population.name: number for number, population in enumerate(network.populations)}
    for projection in network.projections:
        if projection.pre != INPUT and numbers[projection.pre] >= numbers[projection.post]:
            raise ModelError(
                f"the hardware has no recurrence: {quoted(projection.pre)} projects to {quoted(projection.post)}; "
                "use the reference executor"
            )


def _has_no_delays(network: Network) -> None:
    for projection in network.projections:
        if np.any(projection.delay):
            raise ModelError(
                f"the hardware has no delays: the projection from {quoted(projection.pre)} to "
                f"{quoted(projection.post)} has some; use the reference executor"
            )


def _plan_layer(network: Network, population: Population, numbers: dict[str, int], family: Family) -> LayerPlan:
    projections = network.projections_into(population.name)
    codes, weight_bits, shift = _joined_weights(projections)
    rows, row_image = encode_rows(codes, weight_bits, family)
    form, parameters = _plan_neurons(network, population, weight_bits, shift)
    instance = LayerInstance(
        form=LayerFormat(rows=rows, neurons=form),
        image=LayerImage(rows=row_image, parameters=parameters),
        sources=tuple(CORE_INPUT if p.pre == INPUT else numbers[p.pre] for p in projections),
    )
    return LayerPlan(
        population=population.name,
        instance=instance,
        synapses=int(np.count_nonzero(codes)),
        weight_levels=len(np.unique(codes[codes != 0])),
    )


def _joined_weights(projections: Sequence[Projection]) -> tuple[IntArray, int, int]:
    """All weights into a population as one matrix over the concatenated sources, their width, and the common shift."""
    shift = min(projection.shift for projection in projections)
    parts, widths = [], []
    for projection in projections:
        weights = projection.weights
        assert isinstance(weights, Quantised)
        parts.append(weights.codes << (projection.shift - shift))
        widths.append(weights.bits + projection.shift - shift)
    return np.concatenate(parts), max(widths), shift


def _plan_neurons(
    network: Network, population: Population, weight_bits: int, shift: int
) -> tuple[NeuronFormat, tuple[int, ...]]:
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    fires = dynamics.kind is not Kind.LI
    subtracts = fires and dynamics.reset_mode is ResetMode.SUBTRACT and bool(np.any(dynamics.sub))
    resets_to_value = fires and dynamics.reset_mode is ResetMode.VALUE
    zero = np.zeros((), np.int64)
    decay = None if dynamics.kind is Kind.IF else dynamics.decay
    values = {
        "fire": dynamics.fire if fires else zero,
        "sub_delta": dynamics.sub - dynamics.fire if subtracts else zero,
        "v_reset": dynamics.v_reset if resets_to_value else zero,
        "bias": population.bias,
        "c": zero if decay is None or decay.c.ndim == 0 else decay.c,
    }
    form = NeuronFormat(
        neurons=population.size,
        weight_bits=weight_bits,
        shift=shift,
        accumulator_bits=accumulator_bits(network, population),
        state_bits=dynamics.state_bits,
        fires=fires,
        reset_mode="value" if resets_to_value else "subtract",
        reset_place=dynamics.reset_place.value,
        decay=_plan_decay(decay),
        fire_bits=_field_bits(values["fire"]),
        has_sub=subtracts,
        sub_delta_bits=_field_bits(values["sub_delta"]),
        v_reset_bits=_field_bits(values["v_reset"]),
        bias_bits=_field_bits(values["bias"]),
    )
    return form, _parameter_words(form, values)


def _plan_decay(decay: Decay | None) -> DecayFormat | None:
    if decay is None:
        return None
    rounding: RoundingRule = decay.rounding.value
    if decay.c.ndim == 0:
        return DecayFormat(c=int(decay.c), k=decay.k, rounding=rounding)
    return DecayFormat(c=None, k=decay.k, rounding=rounding, c_bits=max(1, int(decay.c.max()).bit_length()))


def _field_bits(values: IntArray) -> int:
    """The width of a signed parameter field; 0 where the parameter is 0 for every neuron."""
    return signed_bits(int(values.min()), int(values.max())) if np.any(values) else 0


def _parameter_words(form: NeuronFormat, values: dict[str, IntArray]) -> tuple[int, ...]:
    if not form.parameter_bits:
        return ()
    words = [0] * form.neurons
    low = 0
    for name, width in form.parameter_fields:
        column = np.broadcast_to(values[name], (form.neurons,))
        words = [word | (int(value) & ((1 << width) - 1)) << low for word, value in zip(words, column, strict=True)]
        low += width
    return tuple(words)
