"""The back half of the compiler: an integer network becomes a plan of engines, encodings and memory contents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...hdl.core import CORE_INPUT, Core, Delayed, EngineInstance
from ...hdl.errors import CapacityError, ModelError, quoted
from ...hdl.memories.memory import Family, MemoryShape
from ...hdl.memories.spram import MAX_SPRAMS, SPRAM_DEPTH, SPRAM_WIDTH, SpramShape
from ...hdl.neurons.readout import ReadoutFormat
from ...hdl.resources import Resources
from ...hdl.streams.token_queue import QueueFormat
from ...hdl.streams.tokens import BeatShape
from ..encodings.room import NoRoomError, Room
from ..ir.arrays import IntArray
from ..ir.network import INPUT, Network
from ..ir.verifier import verify
from .delays import plan_delay
from .engine_folding import EngineFolding
from .folding import Folding, check_folding, default_folding, input_beats
from .readout import folded_readout, gives_membranes
from .weights import EngineWeights


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """One memory of the design: its engine's number, its role (docs/report.md), its shape."""

    engine: int
    role: str
    shape: MemoryShape | SpramShape


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """One population: the number of its engine, and the weights into it: `cells`, of which `synapses` are not zero."""

    population: str
    engine: int
    neurons: int
    fan_in: int
    cells: int
    synapses: int
    weight_bits: int
    weight_levels: int

    @property
    def entropy_bits(self) -> float:
        """The bound log2 C(cells, synapses) + synapses*ceil(log2 levels) on the bits that weights need."""
        cells, chosen = self.cells, self.synapses
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
    headroom: float | None = None
    """The share of spare words, where its memories can be exchanged."""

    @property
    def populations(self) -> tuple[str, ...]:
        """Population names in evaluation order."""
        return tuple(layer.population for layer in self.layers)

    @cached_property
    def memories(self) -> tuple[MemoryUse, ...]:
        uses = [
            MemoryUse(engine=number, role=role, shape=shape)
            for number, engine in enumerate(self.engines)
            for role, shape in (engine.form.memories(self.family) | engine.stream_memories(self.family)).items()
        ]
        kept = None if self.readout is None else self.readout.memory(self.family)
        if kept is not None:
            uses.append(MemoryUse(engine=self.output, role="readout", shape=kept))
        return tuple(uses)

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
        return tuple(words for engine in self.engines for words in engine.form.spram_words(engine.contents))

    def core(self, trace: bool = False) -> Core:
        """The hardware; with `trace`, with its monitors (see `spikeloom.compiler.plan.monitors`)."""
        sizes = (self.network.input_size, self.engines, self.output, self.family)
        return Core(*sizes, trace, self.folding.wide, self.readout)

    @property
    def readout(self) -> ReadoutFormat | None:
        """What the core gives out in place of spikes, where that is membranes."""
        return folded_readout(self.network, self.folding)

    @property
    def beats(self) -> BeatShape | None:
        """What the core's wide input brings at once; None where it brings tokens."""
        return input_beats(self.network, self.folding, self.family) if self.folding.wide else None

    @property
    def output(self) -> int:
        """The number of the engine that is heard outside."""
        return self.layers[self.populations.index(self.network.output)].engine


def make_plan(
    network: Network,
    family: str = "ice40",
    folding: Folding | None = None,
    *,
    headroom: float | None = None,
    laid: Plan | None = None,
) -> Plan:
    """Plan an integer network for a device family, by default with `default_folding`.

    With `headroom`, a share, its memories are laid out so that other weights can take the place of its own, and with
    `laid` as they were laid out for others, or CapacityError is raised. Raises ModelError where the network breaks a
    rule of the IR or needs what the hardware does not have, and where the folding contradicts it; CapacityError where
    its weights need more SPRAM than any device has.
    """
    verify(network)
    for check in (_is_integer, _has_matrices_or_maps):
        check(network)
    if folding is None:
        folding = default_folding(network)
    check_folding(network, folding)
    _has_spram(Family(family), folding)
    rooms = _rooms(folding, headroom, laid)
    return Plan(
        network=network,
        family=Family(family),
        folding=folding,
        layers=tuple(
            _plan_layer(network, name, number)
            for number, engine in enumerate(folding.engines)
            for name in engine.populations
        ),
        engines=_engines(network, Family(family), folding, rooms),
        headroom=headroom if laid is None else laid.headroom,
    )


def _rooms(folding: Folding, headroom: float | None, laid: Plan | None) -> list[Room | None]:
    """The room of each engine. Raises ModelError for a kind that has none."""
    for engine in folding.engines if headroom is not None else ():
        if not engine.has_room:
            raise ModelError(
                f"engines of sparse, lanes and vector kind can have headroom: that of {quoted(engine.first)} is of "
                "another; leave headroom out, or choose another folding"
            )
    if laid is not None:
        return [Room(form=engine.form) for engine in laid.engines]
    return [None if headroom is None else Room(headroom)] * len(folding.engines)


def with_spram(plan: Plan) -> Plan:
    """The plan with weights in SPRAM instead of block RAM: those of the engines that take most, as far as it goes."""
    shapes = {number: engine.form.movable_memory(plan.family) for number, engine in enumerate(plan.engines)}
    blocks = {number: shape.brams for number, shape in shapes.items() if shape is not None}
    wanted = {n: SpramShape(s.depth, s.width).spram for n, s in shapes.items() if s is not None and s.brams}
    left = MAX_SPRAMS - plan.needs.spram
    moved = set()
    for number in sorted(wanted, key=lambda number: -blocks[number]):
        if wanted[number] <= left:
            moved.add(number)
            left -= wanted[number]
    engines = (e.in_spram() if number in moved else e for number, e in enumerate(plan.folding.engines))
    folding = replace(plan.folding, engines=tuple(engines))
    return make_plan(plan.network, plan.family, folding, headroom=plan.headroom)


def with_state_in_spram(plan: Plan) -> Plan:
    """The plan with what is left of the SPRAMs for a state: that which takes most block RAM of those that may have it
    there."""
    left = MAX_SPRAMS - plan.needs.spram
    moved: dict[int, EngineFolding] = {}
    blocks = {}
    for number, (engine, instance) in enumerate(zip(plan.folding.engines, plan.engines, strict=True)):
        state = instance.form.memories(plan.family).get("state")
        if state is None or not left or state.depth > SPRAM_DEPTH:
            continue
        emptied = engine.with_state_in(min(left, -(-state.width // SPRAM_WIDTH)))
        if emptied is not None:
            moved[number], blocks[number] = emptied, state.brams
    if not moved:
        return plan
    largest = max(blocks, key=lambda number: blocks[number])
    engines = (moved[n] if n == largest else engine for n, engine in enumerate(plan.folding.engines))
    folding = replace(plan.folding, engines=tuple(engines))
    return make_plan(plan.network, plan.family, folding, headroom=plan.headroom)


def _is_integer(network: Network) -> None:
    if not network.is_integer:
        raise ModelError("hardware executes integer networks: this one has float weights; quantise it first")


def _has_matrices_or_maps(network: Network) -> None:
    for projection in network.projections:
        connectivity = projection.connectivity
        if not connectivity.one_per_pair and connectivity.pre_map is None:
            raise ModelError(
                f"the hardware has all-to-all connectivity, convolutions and poolings: the projection from "
                f"{quoted(projection.pre)} to {quoted(projection.post)} is {type(connectivity).__name__}; use the "
                "reference executor"
            )


def _has_spram(family: Family, folding: Folding) -> None:
    if family is not Family.ICE40 and any(engine.wants_spram for engine in folding.engines):
        raise ModelError(f"only an iCE40UP5K has SPRAM: the folding wants it on {family.value}; leave spram out")


def _plan_layer(network: Network, name: str, engine: int) -> LayerPlan:
    projections = network.projections_into(name)
    codes = [projection.connectivity.codes for projection in projections]
    return LayerPlan(
        population=name,
        engine=engine,
        neurons=network.size_of(name),
        fan_in=sum(network.size_of(projection.pre) for projection in projections),
        cells=sum(projection.connectivity.possible_synapses for projection in projections),
        synapses=sum(projection.connectivity.synapses for projection in projections),
        weight_bits=max(projection.connectivity.quantised.bits for projection in projections),
        weight_levels=len(np.unique(np.concatenate([part[part != 0] for part in codes]))),
    )


def engine_orders(network: Network, folding: Folding) -> dict[str, IntArray]:
    """In which order the neurons of populations lie in their engine, where that is not their own."""
    return {name: order for engine in folding.engines for name, order in engine.orders(network).items()}


def _queues(network: Network, engine: EngineFolding, sources: Sequence[str]) -> tuple[QueueFormat | None, ...]:
    """The queues in front of an engine: for each source, but not for the core's input."""
    if not engine.inlet_queue:
        return ()
    return tuple(
        None if name == INPUT else QueueFormat(addresses=network.size_of(name), depth=engine.inlet_queue)
        for name in sources
    )


def _engines(
    network: Network, family: Family, folding: Folding, rooms: Sequence[Room | None]
) -> tuple[EngineInstance, ...]:
    """The engines, their SPRAMs numbered in turn."""
    orders = engine_orders(network, folding)
    numbers = {engine.populations[-1]: number for number, engine in enumerate(folding.engines)} | {INPUT: CORE_INPUT}
    instances = []
    taken = loaded = 0
    for engine, room in zip(folding.engines, rooms, strict=True):
        given = gives_membranes(network, engine)
        weights = EngineWeights(engine.heard(network), orders, gives_membranes=given, room=room)
        try:
            form, contents = engine.plan(weights, family, loaded)
        except NoRoomError as error:
            raise CapacityError(
                f"other weights take the place of those that were laid out: in the engine of {quoted(engine.first)} "
                f"{error}; compile again, with more headroom where that is too little"
            ) from None
        delays = []
        for late in weights.late:
            kept, history = plan_delay(network, late, family)
            source = numbers[late.pres[-1]] if not late.inner else numbers[engine.populations[-1]]
            delays.append(Delayed(source=source, inner=late.inner, form=kept, contents=history))
        sources = tuple(numbers[s] for s in weights.sources)
        queues = _queues(network, engine, weights.sources)
        instances.append(
            EngineInstance(form=form, contents=contents, sources=sources, delays=tuple(delays), queues=queues)
        )
        taken += sum(shape.spram for shape in form.memories(family).values())
        loaded += len(form.spram_words(contents))
    if taken > MAX_SPRAMS:
        what = "the weights" if taken == loaded else "weights and states"
        raise CapacityError(
            f"a device has at most {MAX_SPRAMS} SPRAMs: {what} take {taken}; prune more or use fewer bits"
        )
    return tuple(instances)
