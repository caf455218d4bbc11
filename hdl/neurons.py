"""The neurons of one population: their state memory, the integration of contributions, and the pass that ends a step.

The state word of a neuron holds what the next comparison starts from, so that a contribution is one addition in place:
decay(V), less what a delayed reset takes away, plus the contributions of the step so far. The pass adds the bias,
compares, resets, saturates, and writes the start of the next step back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value, signed, unsigned
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from .decay import DecayFormat, decayed
from .memory import Family, MemoryShape, ShapedMemory
from .rows import contribution_layout
from .tokens import TokenKind, address_bits, token_layout


@dataclass(frozen=True, kw_only=True)
class NeuronFormat:
    """Sizes, widths and rules of one population; the values of its parameters are not part of it.

    `accumulator_bits` must hold every sum inside a step; V saturates to `state_bits`. A parameter field of 0 bits is a
    parameter that is 0 for every neuron. `sub_delta_bits` holds sub - fire, two's complement, if `has_sub`.
    """

    neurons: int
    weight_bits: int
    shift: int
    accumulator_bits: int
    state_bits: int
    fires: bool
    reset_mode: Literal["subtract", "value"]
    reset_place: Literal["same", "next", "snntorch_same"]
    decay: DecayFormat | None
    fire_bits: int
    has_sub: bool
    sub_delta_bits: int
    v_reset_bits: int
    bias_bits: int

    @property
    def remembers_firing(self) -> bool:
        """Whether the state word carries V > fire into the next step (the r of `snntorch_same`)."""
        return self.fires and self.reset_place == "snntorch_same"

    @property
    def parameter_fields(self) -> tuple[tuple[str, int], ...]:
        """(name, width) of each field of a parameter word, low bits first."""
        c_bits = 0 if self.decay is None else self.decay.c_bits
        return (
            ("fire", self.fire_bits),
            ("sub_delta", self.sub_delta_bits),
            ("v_reset", self.v_reset_bits),
            ("bias", self.bias_bits),
            ("c", c_bits),
        )

    @property
    def parameter_bits(self) -> int:
        return sum(width for _, width in self.parameter_fields)

    def state_memory(self, family: Family) -> MemoryShape:
        return MemoryShape(family, self.neurons, self.accumulator_bits + self.remembers_firing, writable=True)

    def parameter_memory(self, family: Family) -> MemoryShape:
        return MemoryShape(family, self.neurons, self.parameter_bits)


def trace_signature(form: NeuronFormat) -> wiring.Signature:
    """The monitor of a population: `membrane` V of `neuron` at the end of the step, and whether it spiked."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "neuron": Out(address_bits(form.neurons)),
            "membrane": Out(signed(form.state_bits)),
            "spike": Out(1),
        }
    )


def saturated(value: Value, bits: int) -> Value:
    """A signed value clamped to two's complement of `bits` bits."""
    if len(value) <= bits:
        return value
    high = value[bits - 1 :]
    overflow = high.any() & ~high.all()
    limit = Cat(value[-1].replicate(bits - 1) ^ ((1 << (bits - 1)) - 1), value[-1])
    return Mux(overflow, limit, value[:bits]).as_signed()


class _Job(enum.Enum, shape=unsigned(2)):  # type: ignore[call-arg]
    """What the state memory's ports are used for."""

    INTEGRATE = 0
    PASS = 1
    DRAIN = 2


class NeuronBank(wiring.Component):
    """Integrates contributions and, at the end of each step, passes over the neurons.

    ===== === ======================================================================
    Port  Dir Meaning
    ===== === ======================================================================
    i     in  stream of contributions; its ends start a pass
    o     out stream of tokens: the spikes of a pass, then its end
    trace out monitor without back-pressure, one beat per neuron and step, in order
    ===== === ======================================================================

    Throughput one contribution per cycle. A pass of n neurons takes n + 5 cycles when the output never stalls, and the
    population does not integrate meanwhile. END_OF_SAMPLE clears every state word in the same pass; ABORT, and the
    start after a reset, run a clearing pass without spikes or trace.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, form: NeuronFormat, parameters: Sequence[int], family: Family) -> None:
        self._form = form
        self._parameters = tuple(parameters)
        self._family = family
        super().__init__(
            {
                "i": In(stream.Signature(contribution_layout(form.neurons, form.weight_bits))),
                "o": Out(stream.Signature(token_layout(form.neurons))),
                "trace": Out(trace_signature(form)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self._form
        m.submodules.state = state = ShapedMemory(form.state_memory(self._family))
        accumulator = state.read_data[: form.accumulator_bits].as_signed()

        job = Signal(_Job, init=_Job.PASS)
        end = Signal(TokenKind, init=TokenKind.ABORT)  # what the pass ends
        announce = Signal()  # the pass after a reset ends nothing
        quiet = end == TokenKind.ABORT
        clear = end != TokenKind.END_OF_STEP
        neuron = Signal(address_bits(form.neurons))
        stall = Signal()

        # Integration: read, then add and write back one cycle later.
        accept = self.i.valid & self.i.ready
        is_event = self.i.payload.kind == TokenKind.EVENT
        adding = Signal()
        post = Signal(address_bits(form.neurons))
        weight = Signal(signed(form.weight_bits))
        m.d.comb += self.i.ready.eq(job == _Job.INTEGRATE)
        m.d.sync += adding.eq(accept & is_event)
        with m.If(accept):
            m.d.sync += [post.eq(self.i.payload.post), weight.eq(self.i.payload.weight)]
            with m.If(~is_event):
                m.d.sync += [job.eq(_Job.PASS), end.eq(self.i.payload.kind), announce.eq(1), neuron.eq(0)]

        # The pass asks for one neuron's words per cycle.
        issue = (job == _Job.PASS) & ~stall
        with m.If(issue):
            m.d.sync += neuron.eq(neuron + 1)
            with m.If(neuron == form.neurons - 1):
                m.d.sync += job.eq(_Job.DRAIN)
        m.d.comb += [
            state.read_enable.eq(accept | issue),
            state.read_address.eq(Mux(job == _Job.INTEGRATE, self.i.payload.post, neuron)),
        ]
        parameters = self._read_parameters(m, neuron, issue)

        # Stage 1: both words are there. Stage 2: spike and membrane. Stage 3: the start of the next step.
        fired, membrane = self._fire(accumulator + parameters["bias"], state.read_data[-1], parameters)
        stages = [Signal(name=f"stage{number}") for number in (1, 2, 3)]
        neurons = [Signal(address_bits(form.neurons), name=f"neuron{number}") for number in (1, 2, 3)]
        spike = Signal()
        v = Signal(signed(form.state_bits))
        kept = {name: Signal(value.shape(), name=f"{name}2") for name, value in parameters.items()}
        start = self._next_start(Mux(clear, 0, v), spike & ~clear, kept)
        word = Signal(form.accumulator_bits + form.remembers_firing)
        with m.If(~stall):
            m.d.sync += [
                Cat(*stages).eq(Cat(job == _Job.PASS, *stages[:2])),
                Cat(*neurons).eq(Cat(neuron, *neurons[:2])),
                spike.eq(fired & ~quiet),
                v.eq(membrane),
                *(kept[name].eq(value) for name, value in parameters.items()),
                word.eq(start),
            ]
        m.d.comb += [
            state.write_enable.eq(adding | (stages[2] & ~stall)),
            state.write_address.eq(Mux(adding, post, neurons[2])),
            state.write_data.eq(word),
        ]
        with m.If(adding):
            total = accumulator + (weight << form.shift)
            kept_bit = state.read_data[form.accumulator_bits :]
            m.d.comb += state.write_data.eq(Cat(total[: form.accumulator_bits], kept_bit))

        # Spikes leave from stage 2, the end of the step when the last word is written back.
        blocked = self.o.valid & ~self.o.ready
        m.d.comb += stall.eq(stages[1] & spike & blocked)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(stages[1] & spike & ~blocked):
            m.d.sync += [
                self.o.valid.eq(1),
                self.o.payload.kind.eq(TokenKind.EVENT),
                self.o.payload.address.eq(neurons[1]),
            ]
        with m.If((job == _Job.DRAIN) & ~Cat(*stages).any() & ~blocked):
            m.d.sync += [job.eq(_Job.INTEGRATE), self.o.valid.eq(announce), self.o.payload.kind.eq(end)]

        m.d.comb += [
            self.trace.valid.eq(stages[1] & ~stall & ~quiet),
            self.trace.neuron.eq(neurons[1]),
            self.trace.membrane.eq(v),
            self.trace.spike.eq(spike),
        ]
        return m

    def _read_parameters(self, m: Module, neuron: Signal, issue: Value) -> dict[str, Value]:
        """The parameter fields by name, signed but for `c`, one cycle after `issue`; absent ones are 0."""
        form = self._form
        values: dict[str, Value] = {name: Const(0, 1) for name, _ in form.parameter_fields}
        if form.parameter_bits:
            m.submodules.parameters = words = ShapedMemory(form.parameter_memory(self._family), self._parameters)
            m.d.comb += [words.read_address.eq(neuron), words.read_enable.eq(issue)]
            low = 0
            for name, width in form.parameter_fields:
                if width:
                    field = words.read_data[low : low + width]
                    values[name] = field if name == "c" else field.as_signed()
                low += width
        return values

    def _fire(self, u: Value, was_firing: Value, parameters: dict[str, Value]) -> tuple[Value, Value]:
        """The spike, and V at the end of the step."""
        form = self._form
        if not form.fires:
            return Const(0, 1), saturated(u, form.state_bits)
        spike = u > parameters["fire"]
        sub = self._sub(parameters)
        if form.reset_place == "next":
            after = u
        elif form.reset_place == "snntorch_same":
            after = u - Mux(spike == was_firing, 0, Mux(spike, sub, -sub))
        elif form.reset_mode == "subtract":
            after = u - Mux(spike, sub, 0)
        else:
            after = Mux(spike, parameters["v_reset"], u)
        return spike, saturated(after, form.state_bits)

    def _next_start(self, v: Value, spike: Value, parameters: dict[str, Value]) -> Value:
        """The state word from which the next step integrates."""
        form = self._form
        c = parameters["c"]
        if form.remembers_firing:
            firing = v > parameters["fire"]
            start = decayed(v, form.decay, c) - Mux(firing, self._sub(parameters), 0)
            return Cat(_resized(start, form.accumulator_bits), firing)
        if form.fires and form.reset_place == "next" and form.reset_mode == "subtract":
            start = decayed(v, form.decay, c) - Mux(spike, self._sub(parameters), 0)
        elif form.fires and form.reset_place == "next":
            start = decayed(Mux(spike, parameters["v_reset"], v), form.decay, c)
        else:
            start = decayed(v, form.decay, c)
        return _resized(start, form.accumulator_bits)

    def _sub(self, parameters: dict[str, Value]) -> Value:
        return parameters["fire"] + parameters["sub_delta"] if self._form.has_sub else Const(0, signed(1))


def _resized(value: Value, bits: int) -> Value:
    """The low `bits` of a signed value, sign-extended where it is shorter."""
    wide = value + Const(0, signed(bits))
    return wide[:bits]
