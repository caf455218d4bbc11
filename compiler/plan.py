"""The back half of the compiler: an integer network becomes a plan of engines, encodings and memory images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..hdl.core import CORE_INPUT, Core, EngineInstance
from ..hdl.engine import EngineFormat, EngineImage
from ..hdl.errors import CapacityError, ModelError
from ..hdl.memory import Family, MemoryShape
from ..hdl.resources import Resources
from ..hdl.row_format import Section
from ..hdl.spram import MAX_SPRAMS, SpramShape
from .encode import encode_rows
from .fold import EngineFolding, Folding, check_folding, default_folding, sources_of
from .ir import INPUT, IntArray, Kind, Network, Projection, Quantised
from .plan_neurons import plan_neurons
from .verifier import quoted, verify


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """One memory of the design: its engine's number, its role (`rows`, `entries`, `state`, `parameters`), its shape."""

    engine: int
    role: str
    shape: MemoryShape | SpramShape


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """One population: the number of the engine that runs it, and the weights into it; `synapses` counts those that are not zero."""

    population: str
    engine: int
    neurons: int
    fan_in: int
    synapses: int
    weight_bits: int
    weight_levels: int

    @property
    def entropy_bits(self) -> float:
        """The bound log2 C(rows*columns, synapses) + synapses*ceil(log2 levels) on the bits that weights need."""
        cells, chosen = self.fan_in * self.neurons, self.synapses
        positions = math.lgamma(cells + 1) - math.lgamma(chosen + 1) - math.lgamma(cells - chosen + 1)
        return positions / math.log(2) + chosen * math.ceil(math.log2(max(1, self.weight_levels)))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which engine runs which population, how weights are encoded, and what the memories hold."""

    network: Network
    family: Family
    folding: Folding
    layers: tuple[LayerPlan, ...]
    engines: tuple[EngineInstance, ...]

    @property
    def populations(self) -> tuple[str, ...]:
        """Population names in evaluation order, which is the order of the core's traces."""
        return tuple(layer.population for layer in self.layers)

    @cached_property
    def memories(self) -> tuple[MemoryUse, ...]:
        return tuple(
            MemoryUse(engine=number, role=role, shape=shape)
            for number, engine in enumerate(self.engines)
            for role, shape in engine.form.memories(self.family).items()
        )

    @property
    def brams(self) -> int:
        """Block RAMs of the core, exactly."""
        return sum(memory.shape.brams for memory in self.memories)

    @property
    def needs(self) -> Resources:
        """What is known of the core's cost before any tool runs: its block RAMs and SPRAMs."""
        return Resources(brams=self.brams, spram=sum(memory.shape.spram for memory in self.memories))

    @cached_property
    def sprams(self) -> tuple[tuple[int, ...], ...]:
        """The 16-bit words of each SPRAM, which must be there before the core is used."""
        rows = {engine.form.rows.first_spram: (engine.form.rows, engine.image.rows) for engine in self.engines}
        packed: list[tuple[int, ...]] = []
        while len(packed) in rows:
            form, image = rows[len(packed)]
            packed += SpramShape(form.entries, form.entry_bits).pack(image.entries)
        return tuple(packed)

    def core(self, trace: bool = False) -> Core:
        """The hardware; with `trace`, with a monitor per population."""
        output = self.layers[self.populations.index(self.network.output)].engine
        return Core(self.network.input_size, self.engines, output, self.family, trace)


def make_plan(network: Network, family: str = "ice40", folding: Folding | None = None) -> Plan:
    """Plan an integer network for a device family, by default with `default_folding`.

    Raises ModelError where the network breaks a rule of the IR or needs what the hardware does not have, and where the
    folding contradicts it; CapacityError where its weights need more SPRAM than any device has.
    """
    verify(network)
    for check in (_is_integer, _has_no_cubalif, _has_no_recurrence, _has_no_delays):
        check(network)
    if folding is None:
        folding = default_folding(network)
    check_folding(network, folding)
    _has_spram(Family(family), folding)
    engines = [_Engine(network, engine) for engine in folding.engines]
    return Plan(
        network=network,
        family=Family(family),
        folding=folding,
        layers=tuple(
            _plan_layer(network, name, number)
            for number, engine in enumerate(folding.engines)
            for name in engine.populations
        ),
        engines=_instances(engines, Family(family), folding),
    )


def with_spram(plan: Plan) -> Plan:
    """The plan with weights in SPRAM instead of block RAM: those of the engines that take most, as far as it goes."""
    shapes = [engine.form.rows.entry_memory(plan.family) for engine in plan.engines]
    wanted = {number: SpramShape(shape.depth, shape.width).spram for number, shape in enumerate(shapes) if shape.brams}
    left = MAX_SPRAMS - plan.needs.spram
    moved = set()
    for number in sorted(wanted, key=lambda number: -shapes[number].brams):
        if wanted[number] <= left:
            moved.add(number)
            left -= wanted[number]
    engines = (replace(e, spram=e.spram or number in moved) for number, e in enumerate(plan.folding.engines))
    return make_plan(plan.network, plan.family, Folding(engines=tuple(engines)))


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


def _has_spram(family: Family, folding: Folding) -> None:
    if family is not Family.ICE40 and any(engine.spram for engine in folding.engines):
        raise ModelError(f"only an iCE40UP5K has SPRAM: the folding wants it on {family.value}; leave spram out")


def _plan_layer(network: Network, name: str, engine: int) -> LayerPlan:
    projections = network.projections_into(name)
    codes = [_quantised(projection).codes for projection in projections]
    return LayerPlan(
        population=name,
        engine=engine,
        neurons=network.size_of(name),
        fan_in=sum(network.size_of(projection.pre) for projection in projections),
        synapses=sum(int(np.count_nonzero(part)) for part in codes),
        weight_bits=max(_quantised(projection).bits for projection in projections),
        weight_levels=len(np.unique(np.concatenate([part[part != 0] for part in codes]))),
    )


def _quantised(projection: Projection) -> Quantised:
    assert isinstance(projection.weights, Quantised)
    return projection.weights


class _Engine:
    """One engine being planned: its weights as one matrix from everything it listens to, its own neurons first, to its
    neurons."""

    def __init__(self, network: Network, folding: EngineFolding) -> None:
        self.network = network
        self.names = folding.populations
        self.sources = sources_of(network, folding)
        self.projections = [p for p in network.projections if p.post in self.names]
        self.rows = _offsets(network, (*self.names[:-1], *self.sources))
        self.posts = _offsets(network, self.names)
        self.shifts = {
            name: min(projection.shift for projection in network.projections_into(name)) for name in self.names
        }

    def instance(self, family: Family, folding: Folding, first_spram: int | None = None) -> EngineInstance:
        codes, weight_bits = self._weights()
        rows, row_image = encode_rows(codes, weight_bits, family, self._sections(), first_spram)
        neurons, parameters = plan_neurons(
            self.network,
            [self.network.population(name) for name in self.names],
            weight_bits,
            list(self.shifts.values()),
            overlaps=len(self.names) > 1 and not self._reaches_last(),
        )
        engines = {engine.populations[-1]: number for number, engine in enumerate(folding.engines)}
        return EngineInstance(
            form=EngineFormat(
                inputs=sum(self.network.size_of(source) for source in self.sources), rows=rows, neurons=neurons
            ),
            image=EngineImage(rows=row_image, parameters=parameters),
            sources=tuple(CORE_INPUT if source == INPUT else engines[source] for source in self.sources),
        )

    def _weights(self) -> tuple[IntArray, int]:
        """All weights [rows, neurons] in units of their population's shift, and the width that holds them."""
        size = self.network.size_of
        codes = np.zeros((sum(map(size, self.rows)), sum(map(size, self.names))), np.int64)
        widths = []
        for (pre, post), parallel in self._parallel().items():
            parts = [_quantised(p).codes << (p.shift - self.shifts[post]) for p in parallel]
            bits = [_quantised(p).bits + p.shift - self.shifts[post] for p in parallel]
            widths.append(max(bits) + (len(parts) - 1).bit_length())
            row, column = self.rows[pre], self.posts[post]
            codes[row : row + size(pre), column : column + size(post)] = sum(parts)
        return codes, max(widths)

    def _parallel(self) -> dict[tuple[str, str], list[Projection]]:
        """The projections between the same two populations."""
        found: dict[tuple[str, str], list[Projection]] = {}
        for projection in self.projections:
            found.setdefault((projection.pre, projection.post), []).append(projection)
        return found

    def _sections(self) -> Sequence[Section]:
        """Where the relative indices of each source's rows start: at the first population that it reaches."""
        sections = []
        for source, row in self.rows.items():
            reached = [self.posts[p.post] for p in self.projections if p.pre == source]
            first = min(reached, default=0)
            if not sections or sections[-1].first_post != first:
                sections.append(Section(first_row=row, first_post=first))
        return sections

    def _reaches_last(self) -> bool:
        """Whether anything outside projects to the last population."""
        return any(p.post == self.names[-1] and p.pre in self.sources for p in self.projections)


def _instances(engines: Sequence[_Engine], family: Family, folding: Folding) -> tuple[EngineInstance, ...]:
    """The engines, their SPRAMs numbered in turn."""
    instances = []
    taken = 0
    for engine, wanted in zip(engines, folding.engines, strict=True):
        instance = engine.instance(family, folding, taken if wanted.spram else None)
        taken += instance.form.rows.entry_memory(family).spram
        instances.append(instance)
    if taken > MAX_SPRAMS:
        raise CapacityError(
            f"a device has at most {MAX_SPRAMS} SPRAMs: the weights take {taken}; prune more or use fewer bits"
        )
    return tuple(instances)


def _offsets(network: Network, names: Sequence[str]) -> dict[str, int]:
    """Where each of the concatenated populations starts."""
    offsets, total = {}, 0
    for name in names:
        offsets[name] = total
        total += network.size_of(name)
    return offsets
