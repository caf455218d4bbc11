"""The link's frame receiver on its own, byte by byte: what it releases, against a model, under back-pressure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator
from spikeloom.hdl.link.frame_receiver import FrameReceiver, WordKind, at_least
from spikeloom.hdl.link.linked_core import link_memories
from spikeloom.hdl.link.packed_receiver import PackedReceiver
from spikeloom.hdl.link.protocol import Frame, Header, LinkFormat, Reason, encode_frame
from spikeloom.hdl.memories.memory import Family

BYTE_CYCLES = 12
"""The shortest time between two bytes."""

Word = tuple[WordKind, int]


@dataclass
class Talk:
    """Bytes for a receiver, and the words that it should release; `refusals` are the reasons it should have."""

    data: bytes = b""
    words: list[Word] = field(default_factory=list)
    refusals: list[Reason] = field(default_factory=list)
    busy: bool = False

    def accept(self, frame: Frame, header: Header, addresses: list[int]) -> None:
        end = WordKind.END_OF_FRAME
        if header & Header.END_OF_STEP:
            end = WordKind.END_OF_STEP
        if header & Header.END_OF_SAMPLE:
            end = WordKind.END_OF_SAMPLE
        self.data += frame.data
        self.words += [(WordKind.EVENT, address) for address in addresses] + [(end, 0)]
        self.busy = not header & Header.END_OF_SAMPLE

    def refuse(self, data: bytes, reason: Reason) -> None:
        self.data += data
        self.words.append((WordKind.ABORT, 0))
        self.refusals.append(reason)
        self.busy = False


def released(
    form: LinkFormat, talk: Talk, *, rate: float, seed: int = 0, hold: int = 0
) -> tuple[list[Word], list[int]]:
    """The words that come out, and the reason at each abort; the output is ready at random, after `hold` cycles."""
    dut = PackedReceiver(form) if form.packed else FrameReceiver(form)
    words: list[Word] = []
    reasons: list[int] = []

    async def sender(ctx: Any) -> None:
        for byte in talk.data:
            ctx.set(dut.i.payload.byte, byte)
            ctx.set(dut.i.valid, 1)
            await ctx.tick()
            ctx.set(dut.i.valid, 0)
            await ctx.tick().repeat(BYTE_CYCLES - 1)

    async def taker(ctx: Any) -> None:
        rng = np.random.default_rng(seed)
        await ctx.tick().repeat(hold + 1)
        while len(words) < len(talk.words):
            ctx.set(dut.o.ready, int(rng.random() < rate))
            _, _, ready, valid, payload = await ctx.tick().sample(dut.o.ready, dut.o.valid, dut.o.payload)
            if ready and valid:
                kind = WordKind(payload.kind)
                words.append((kind, payload.address if kind is WordKind.EVENT else 0))
                if kind is WordKind.ABORT:
                    reasons.append(ctx.get(dut.reason))
        ctx.set(dut.o.ready, 1)
        for _ in range(4 * BYTE_CYCLES):
            _, _, valid = await ctx.tick().sample(dut.o.valid)
            assert not valid, "a word too many"

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(sender, background=True)
    simulator.add_testbench(taker)
    simulator.run()
    return words, reasons


def random_talk(form: LinkFormat, seed: int, frames: int = 25) -> Talk:
    """Good frames and broken ones at random; a frame at a time within the receiver's room."""
    rng = np.random.default_rng(seed)
    talk = Talk()
    for _ in range(frames):
        addresses = rng.integers(0, form.inputs, rng.integers(0, 6)).tolist()
        header = Header(0) if talk.busy else Header.FIRST
        header |= rng.choice([Header(0), Header.END_OF_STEP, Header.END_OF_SAMPLE])
        frame = encode_frame(form, header, addresses)
        fault = rng.integers(0, 8)
        if fault == 0:
            place = int(rng.integers(1, len(frame.data) - 1))
            spoilt = bytearray(frame.data)
            spoilt[place] = (spoilt[place] + 1) % 0xC0  # neither an end nor an escape
            if bytes(spoilt) != frame.data and 0xDB not in frame.data:
                talk.refuse(bytes(spoilt), Reason.CHECKSUM)
        elif fault == 1 and (form.inputs != 256 or form.packed):  # else every byte is an address
            talk.refuse(encode_frame(form, header, [*addresses, form.inputs]).data, Reason.ADDRESS)
        elif fault == 2:
            talk.refuse(encode_frame(form, header ^ Header.FIRST, addresses).data, Reason.ORDER)
        elif fault == 3:
            talk.refuse(encode_frame(form, header | 0x20, addresses).data, Reason.HEADER)
        elif fault == 4:
            talk.refuse(encode_frame(form, header, [0] * form.fifo_words).data, Reason.OVERRUN)
        else:
            talk.accept(frame, header, addresses)
    return talk


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("inputs", [6, 256, 300, 784])
@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_it_releases_what_the_model_says(inputs: int, rate: float, packed: bool) -> None:
    form = LinkFormat(inputs=inputs, outputs=2, fifo_words=16, packed=packed)
    talk = random_talk(form, seed=inputs)
    words, reasons = released(form, talk, rate=rate)
    assert words == talk.words
    assert reasons == talk.refusals
    assert len(set(reasons)) >= 3


@pytest.mark.parametrize("packed", [False, True])
def test_what_finds_no_room_aborts_once_there_is_some(packed: bool) -> None:
    form = LinkFormat(inputs=6, outputs=2, fifo_words=8, packed=packed)
    talk = Talk()
    for header in (Header.FIRST | Header.END_OF_STEP, Header.END_OF_STEP):
        talk.accept(encode_frame(form, header, [1, 2]), header, [1, 2])  # 6 words of 7, and one more waits outside
    talk.refuse(encode_frame(form, Header.END_OF_STEP, [3, 4]).data, Reason.OVERRUN)
    hold = BYTE_CYCLES * len(talk.data) + 50
    words, reasons = released(form, talk, rate=1.0, hold=hold)
    assert (words, reasons) == (talk.words, talk.refusals)


@pytest.mark.parametrize("packed", [False, True])
def test_a_full_store_keeps_its_words_and_the_abort_waits(packed: bool) -> None:
    form = LinkFormat(inputs=6, outputs=2, fifo_words=8, packed=packed)
    talk = Talk()
    header = Header.FIRST | Header.END_OF_STEP
    events = [0, 1, 2, 3, 4, 5]
    talk.accept(encode_frame(form, header, events), header, events)  # 7 words of 7, of which one waits outside
    talk.accept(encode_frame(form, Header.END_OF_STEP, []), Header.END_OF_STEP, [])
    talk.refuse(encode_frame(form, Header.END_OF_STEP, [1]).data, Reason.OVERRUN)
    words, reasons = released(form, talk, rate=0.3, hold=BYTE_CYCLES * len(talk.data) + 50)
    assert (words, reasons) == (talk.words, talk.refusals)


@pytest.mark.parametrize("bound", [1, 2, 5, 16, 17, 31, 32])
def test_at_least(bound: int) -> None:
    from amaranth import Module, Signal

    value, result = Signal(5), Signal()
    m = Module()
    m.d.comb += result.eq(at_least(value, bound))

    async def bench(ctx: Any) -> None:
        for number in range(32):
            ctx.set(value, number)
            assert ctx.get(result) == (number >= bound)

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


def test_the_link_has_one_block_ram_for_784_inputs() -> None:
    memories = link_memories(LinkFormat(inputs=784, outputs=10), Family.ICE40)
    assert {role: shape.brams for role, shape in memories.items()} == {"fifo": 1}
