"""The back half of the compiler: an integer network becomes a plan of engines, encodings and memory images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...hdl.core import CORE_INPUT, Core, EngineFormat, EngineImage, EngineInstance
from ...hdl.engines.engine import SparseFormat, SparseImage
from ...hdl.engines.lanes import LanesFormat, LanesImage
from ...hdl.engines.row_format import Section
from ...hdl.engines.vector import VectorFormat, VectorImage
from ...hdl.errors import CapacityError, ModelError, quoted
from ...hdl.memories.memory import Family, MemoryShape
from ...hdl.memories.spram import MAX_SPRAMS, SpramShape
from ...hdl.neurons.neuron_format import NeuronFormat
from ...hdl.resources import Resources
from ..encodings.cost import LOGIC_LUTS
from ..encodings.rows import encode_rows
from ..encodings.vector import encode_vector
from ..ir.arrays import IntArray
from ..ir.connectivity import Quantised
from ..ir.network import INPUT, Network, Projection
from ..ir.neurons import Kind
from ..ir.verifier import verify
from .folding import EngineFolding, EngineKind, Folding, check_folding, default_folding, sources_of
from .lane_assignment import lane_neurons, lane_orders
from .neurons import plan_neurons


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """One memory of the design: its engine's number, its role (`rows`, `entries`, `state`, `parameters`), its shape."""

    engine: int
    role: str
    shape: MemoryShape | SpramShape


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """One population: the number of its engine, and the weights into it, of which `synapses` are not zero."""

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
        """Population names in evaluation order."""
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
        packed: list[tuple[int, ...]] = []
        for engine in self.engines:
            if (
                isinstance(engine.form, SparseFormat)
                and isinstance(engine.image, SparseImage)
                and engine.form.uses_spram
            ):
                form, image = engine.form.rows, engine.image.rows
                packed += SpramShape(form.entries, form.entry_bits).pack(image.entries)
        return tuple(packed)

    def core(self, trace: bool = False, *, wide: bool = False) -> Core:
        """The hardware; with `trace`, with its monitors (see `spikeloom.compiler.plan.monitors`).

        A `wide` input takes beats, as the vector engine that it leads to does.
        """
        output = self.layers[self.populations.index(self.network.output)].engine
        return Core(self.network.input_size, self.engines, output, self.family, trace, wide)


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
    orders = {name: order for engine in folding.engines for name, order in lane_orders(network, engine).items()}
    engines = [_Engine(network, engine, orders) for engine in folding.engines]
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
    shapes = {
        number: engine.form.rows.entry_memory(plan.family)
        for number, engine in enumerate(plan.engines)
        if isinstance(engine.form, SparseFormat)
    }
    wanted = {number: SpramShape(shape.depth, shape.width).spram for number, shape in shapes.items() if shape.brams}
    left = MAX_SPRAMS - plan.needs.spram
    moved = set()
    for number in sorted(wanted, key=lambda number: -shapes[number].brams):
        if wanted[number] <= left:
            moved.add(number)
            left -= wanted[number]
    engines = (replace(e, spram=e.spram or number in moved) for number, e in enumerate(plan.folding.engines))
    return make_plan(plan.network, plan.family, Folding(engines=tuple(engines)))


def require_spiking_output(network: Network) -> None:
    """ModelError where the output never fires, or its membranes are read: the hardware's output is spikes."""
    dynamics = network.population(network.output).dynamics
    kind = dynamics.kind
    if kind is Kind.LI:
        raise ModelError(
            f"the output of a core is spikes: population {quoted(network.output)} is LI, which never fires; "
            "end the network with IF or LIF neurons"
        )
    if network.reading.of_membranes:
        raise ModelError(
            f"the output of a core is spikes: the class is read by {network.reading.by}; read it by spikes or "
            "first-spike (--readout)"
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
    neurons. `orders` says in which order the neurons of populations with lanes leave their engine."""

    def __init__(self, network: Network, folding: EngineFolding, orders: Mapping[str, IntArray]) -> None:
        self.network = network
        self.folding = folding
        self.orders = orders
        self.names = folding.populations
        self.sources = sources_of(network, folding)
        self.projections = [p for p in network.projections if p.post in self.names]
        self.rows = _offsets(network, (*self.names[:-1], *self.sources))
        self.posts = _offsets(network, self.names)
        self.shifts = {
            name: min(projection.shift for projection in network.projections_into(name)) for name in self.names
        }

    def instance(self, family: Family, folding: Folding, first_spram: int | None = None) -> EngineInstance:
        form: EngineFormat
        image: EngineImage
        if self.folding.kind is EngineKind.VECTOR:
            form, image = self._vector(family)
        elif self.folding.lanes > 1:
            form, image = self._lanes(family)
        else:
            form, image = self._sparse(family, first_spram)
        engines = {engine.populations[-1]: number for number, engine in enumerate(folding.engines)}
        sources = tuple(CORE_INPUT if source == INPUT else engines[source] for source in self.sources)
        return EngineInstance(form=form, image=image, sources=sources)

    @property
    def _inputs(self) -> int:
        return sum(self.network.size_of(source) for source in self.sources)

    def _neurons(
        self, weight_bits: int, *, overlaps: bool = False, chosen: IntArray | None = None
    ) -> tuple[NeuronFormat, tuple[int, ...]]:
        populations = [self.network.population(name) for name in self.names]
        shifts = list(self.shifts.values())
        return plan_neurons(
            self.network,
            populations,
            weight_bits,
            shifts,
            overlaps=overlaps,
            skips=self.folding.skips,
            chosen=chosen,
            logic_luts=LOGIC_LUTS[self.folding.scarce],
        )

    def _sparse(self, family: Family, first_spram: int | None) -> tuple[SparseFormat, SparseImage]:
        codes, weight_bits = self._weights()
        scarce = self.folding.scarce
        rows, row_image = encode_rows(codes, weight_bits, family, self._sections(), first_spram, scarce)
        overlaps = len(self.names) > 1 and not self._reaches_last()
        neurons, parameters = self._neurons(weight_bits, overlaps=overlaps)
        form = SparseFormat(inputs=self._inputs, rows=rows, neurons=neurons)
        return form, SparseImage(rows=row_image, parameters=parameters)

    def _lanes(self, family: Family) -> tuple[LanesFormat, LanesImage]:
        codes, weight_bits = self._weights()
        forms, images = [], []
        for chosen in lane_neurons(self.network, self.folding):
            rows, row_image = encode_rows(codes[:, chosen], weight_bits, family, scarce=self.folding.scarce)
            neurons, parameters = self._neurons(weight_bits, chosen=chosen)
            forms.append(SparseFormat(inputs=self._inputs, rows=rows, neurons=neurons))
            images.append(SparseImage(rows=row_image, parameters=parameters))
        return LanesFormat(lanes=tuple(forms), queue=self.folding.queue), LanesImage(lanes=tuple(images))

    def _vector(self, family: Family) -> tuple[VectorFormat, VectorImage]:
        codes, weight_bits = self._weights()
        neurons, parameters = self._neurons(weight_bits)
        largest = [self.network.x_max if source == INPUT else 1 for source in self.sources]
        sizes = [self.network.size_of(source) for source in self.sources]
        events = self.folding.events_per_beat
        ports = 2 if family is Family.ECP5 and events % 2 == 0 else 1
        return encode_vector(
            codes,
            neurons,
            parameters,
            lanes=self.folding.lanes or codes.shape[1],
            x_max=np.repeat(largest, sizes),
            banks=events // ports,
            ports=ports,
            neurons_per_cycle=self.folding.neurons_per_cycle,
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
            block = np.sum(parts, axis=0)
            codes[row : row + size(pre), column : column + size(post)] = block[self.orders.get(pre, slice(None))]
        return codes, max(widths)

    def _parallel(self) -> dict[tuple[str, str], list[Projection]]:
        """The projections between the same two populations."""
        found: dict[tuple[str, str], list[Projection]] = {}
        for projection in self.projections:
            found.setdefault((projection.pre, projection.post), []).append(projection)
        return found

    def _sections(self) -> Sequence[Section]:
        """Where the relative indices of each source's rows start: at the first population that it reaches."""
        sections: list[Section] = []
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
        taken += sum(shape.spram for shape in instance.form.memories(family).values())
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
