"""A core in Amaranth's simulator: what is sent, what must come back, and whether it does.

It knows the protocol and nothing of the product's executors: tokens out are compared step by step as multisets, every
monitor beat by beat, aborted samples included.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth import ClockDomain, Module
from amaranth.sim import Simulator, SimulatorContext
from spikeloom.sim.port_sampler import PortSampler

from .oracle import Data, Trace, run_sample

EVENT, END_OF_STEP, END_OF_SAMPLE, ABORT = range(4)

Step = tuple[tuple[int, ...], int]
"""The events of a step in order of their addresses, and the token that ends it."""

Beat = tuple[int, int, int]
"""Neuron, membrane, spike."""

_LISTEN = 40
"""Cycles without anything after which a core has said all."""


@dataclass(frozen=True)
class Expected:
    """What a core must say: `steps` at its output, `beats` of each monitor."""

    steps: list[Step]
    beats: list[list[Beat]]


@dataclass(frozen=True)
class Said:
    """What it said; `hung` where tokens were left that it never took."""

    steps: list[Step]
    beats: list[list[Beat]]
    hung: bool


@dataclass(frozen=True)
class Readings:
    """An output of readings by `kind` in place of spikes: values of `value_bits` behind addresses of `address_bits`."""

    kind: str
    address_bits: int
    value_bits: int
    names_class: bool

    def event(self, address: int, value: int) -> int:
        return address | (value & (1 << self.value_bits) - 1) << self.address_bits

    def step(self, membranes: Sequence[Sequence[int]], ends: bool) -> Step:
        """What a step says, from the membranes [step][neuron] of the sample up to it."""
        columns = list(zip(*membranes, strict=True))
        values = [{"membrane-max": max, "membrane-sum": sum}.get(self.kind, lambda c: c[-1])(c) for c in columns]
        given = ends or self.kind == "membranes"
        events = tuple(self.event(n, value) for n, value in enumerate(values)) if given else ()
        named = values.index(max(values)) << 2 if ends and self.names_class else 0
        return events, named | (END_OF_SAMPLE if ends else END_OF_STEP)


@dataclass(frozen=True)
class Beats:
    """A wide input: beats of `slots` events; slot s takes those of bank s % `banks`, as address // banks in `bits`."""

    slots: int
    banks: int
    bits: int


def tokens_of(stimulus: Data, key: str = "runs", beats: Beats | None = None) -> list[tuple[int, int]]:
    """(token or beat, cycles to wait before it). What means nothing is rubbish: the address of an end, an empty slot.

    A token is `kind | address << 2`; a beat is filled as far as it goes, or by chance less.
    """
    rng = random.Random(stimulus["seed"])
    bits = max(1, (stimulus["inputs"] - 1).bit_length()) if beats is None else beats.slots * (1 + beats.bits)
    tokens: list[int] = []
    for run in stimulus[key]:
        for step, counts in enumerate(run["steps"]):
            events = [address for address, count in enumerate(counts) for _ in range(count)]
            rng.shuffle(events)
            last = ABORT if run["aborted"] else END_OF_SAMPLE
            end = last if step == len(run["steps"]) - 1 else END_OF_STEP
            tokens += [address << 2 | EVENT for address in events] if beats is None else _packed(events, beats, rng)
            tokens.append(rng.getrandbits(bits) << 2 | end)
    pause = stimulus["pauses"]
    return [(token, rng.randint(1, 12) if rng.random() < pause else 0) for token in tokens]


def _packed(events: list[int], shape: Beats, rng: random.Random) -> list[int]:
    """Beats of all events, in any order."""
    left = list(events)
    beats = []
    while left:
        mask, rows = 0, 0
        for slot in range(shape.slots):
            fits = [address for address in left if address % shape.banks == slot % shape.banks]
            row = rng.getrandbits(shape.bits)
            if fits and (not mask or rng.random() < 0.8):
                left.remove(fits[0])
                row = fits[0] // shape.banks
                mask |= 1 << slot
            rows |= row << slot * shape.bits
        if mask:
            beats.append(EVENT | mask << 2 | rows << 2 + shape.slots)
    return beats


def expected_of(
    network: Data,
    stimulus: Data,
    monitors: Sequence[tuple[str, Sequence[int], Sequence[int]]],
    readings: Readings | None = None,
) -> Expected:
    """What the oracle says; `monitors` are (population, numbers, neurons): what each says in turn, of which neurons.

    The output says spikes, or `readings`.
    """
    steps: list[Step] = []
    beats: list[list[Beat]] = [[] for _ in monitors]
    for run in stimulus["runs"]:
        traces = run_sample(network, run["steps"])
        output = traces[network["output"]]
        whole = len(run["steps"]) - run["aborted"]
        for step in range(whole):
            ends = step == len(run["steps"]) - 1
            if readings is not None:
                steps.append(readings.step(output.membranes[: step + 1], ends))
                continue
            end = END_OF_SAMPLE if ends else END_OF_STEP
            steps.append((tuple(n for n, count in enumerate(output.spikes[step]) for _ in range(count)), end))
        if run["aborted"]:
            steps.append(((), ABORT))
        for said, (name, numbers, neurons) in zip(beats, monitors, strict=True):
            said += _beats(traces[name], whole, numbers, neurons)
    return Expected(steps=steps, beats=beats)


def _beats(trace: Trace, steps: int, numbers: Sequence[int], neurons: Sequence[int]) -> list[Beat]:
    return [
        (number, trace.membranes[step][neuron], trace.spikes[step][neuron])
        for step in range(steps)
        for number, neuron in zip(numbers, neurons, strict=True)
    ]


def listen(
    core: Any,
    expected: Expected,
    stimulus: Data,
    patience: int,
    beats: Beats | None = None,
    readings: Readings | None = None,
) -> Said:
    """Play a stimulus to a core, as `beats` where its input is wide: `before`, cut short by a reset, then the `runs`.
    Its output is of spikes, or of `readings`.

    It ends when the core has said as much as it should and then nothing for a while, or nothing for `patience` cycles.
    """
    return _Listener(core, expected, stimulus, patience, beats, readings).said()


class _Listener:
    def __init__(
        self,
        core: Any,
        expected: Expected,
        stimulus: Data,
        patience: int,
        wide: Beats | None,
        readings: Readings | None,
    ) -> None:
        self.readings = readings
        self.core = core
        self.expected = expected
        self.stimulus = stimulus
        self.patience = patience
        self.wide = wide
        self.domain = ClockDomain("sync")
        self.steps: list[Step] = []
        self.events: list[int] = []
        self.beats: list[list[Beat]] = [[] for _ in expected.beats]
        self.taken = 0
        self.all_sent = False
        traces = [getattr(core, f"trace{number}") for number in range(len(self.beats))]
        monitored = [port for t in traces for port in (t.valid, t.neuron, t.membrane, t.spike)]
        self.sampler = PortSampler([core.o.valid, core.o.payload, *monitored])

    def said(self) -> Said:
        top = Module()
        top.domains += self.domain
        top.submodules.core = self.core
        self.sampler.drive(top)
        simulator = Simulator(top)
        simulator.add_clock(1e-6)
        simulator.add_testbench(self._watch)
        simulator.add_testbench(self._drive, background=True)
        simulator.run()
        if self.events:
            self.steps.append((tuple(sorted(self.events)), EVENT))
        return Said(steps=self.steps, beats=self.beats, hung=not self.all_sent)

    async def _drive(self, context: SimulatorContext) -> None:
        if self.stimulus["before"]:
            await self._send(context, tokens_of(self.stimulus, "before", self.wide), self.patience)
            for _ in range(self.stimulus["wait"]):
                await context.tick()
            context.set(self.domain.rst, 1)
            await context.tick()
            await context.tick()
            context.set(self.domain.rst, 0)
            for heard in (self.steps, self.events, *self.beats):
                heard.clear()
        await self._send(context, tokens_of(self.stimulus, "runs", self.wide))
        self.all_sent = True

    async def _send(self, context: SimulatorContext, tokens: list[tuple[int, int]], cycles: int | None = None) -> None:
        """Send tokens, for so many cycles at most."""
        source = self.core.i
        spent = 0
        for token, wait in tokens:
            for _ in range(wait):
                await context.tick()
            context.set(source.payload.as_value(), token)
            context.set(source.valid, 1)
            taken = False
            while not taken and spent != cycles:
                taken = (await context.tick().sample(source.ready))[-1]
                spent += 1
            context.set(source.valid, 0)
            self.taken += 1

    async def _watch(self, context: SimulatorContext) -> None:
        sink, stalls = self.core.o, self.stimulus["stalls"]
        rng = random.Random(self.stimulus["seed"] + 1)
        quiet = taken = 0
        while quiet < (_LISTEN if self._complete else self.patience):
            ready = not stalls or rng.random() >= stalls
            context.set(sink.ready, ready)
            _, _, seen = await context.tick().sample(self.sampler.seen)
            valid, payload, *values = self.sampler.values(seen)
            heard = self._hear(valid and ready, payload, values)
            quiet = 0 if heard or self.taken != taken else quiet + 1
            taken = self.taken

    @property
    def _complete(self) -> bool:
        said, due = [self.steps, *self.beats], [self.expected.steps, *self.expected.beats]
        return self.all_sent and all(len(a) >= len(b) for a, b in zip(said, due, strict=True))

    def _hear(self, taken: bool, payload: int, values: Sequence[Any]) -> bool:
        if taken and payload & 3 == EVENT:
            self.events.append(payload >> 2)
        elif taken and self.readings is not None:  # in order; the end of a sample may name a class
            named = self.readings.names_class and payload & 3 == END_OF_SAMPLE
            self.steps.append((tuple(self.events), payload & ((4 << self.readings.address_bits) - 1 if named else 3)))
            self.events.clear()
        elif taken:
            self.steps.append((tuple(sorted(self.events)), payload & 3))
            self.events.clear()
        heard = bool(taken)
        for said, (valid, *beat) in zip(self.beats, zip(*[iter(values)] * 4, strict=True), strict=True):
            if valid:
                said.append((int(beat[0]), int(beat[1]), int(beat[2])))
                heard = True
        return heard
