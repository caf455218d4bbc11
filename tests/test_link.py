"""The host link: its frames in Python, and the hardware that answers them, down to the UART's bits."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator
from networks import chain, random_spikes
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.ir.neurons import ResetPlace
from spikeloom.compiler.plan.host_link import link_of
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.link.linked_core import LinkedCore, identity_memory
from spikeloom.hdl.link.protocol import (
    END,
    ESCAPE,
    Code,
    Frame,
    Header,
    LinkError,
    LinkFormat,
    Reason,
    Reply,
    ReplyDecoder,
    crc_bytes,
    encode_frame,
    encode_sample,
    sample_bytes,
    slip,
)
from spikeloom.sim import simulate

CLOCKS_PER_BIT = 4
TWO_BYTES = LinkFormat(inputs=784, outputs=10)


def test_the_checksum_is_the_documented_one() -> None:
    assert crc_bytes(b"123456789") == bytes.fromhex("29b1")  # the catalogue's check value


def test_slip_escapes_what_delimits() -> None:
    assert slip(bytes([1, END, ESCAPE])) == bytes([END, 1, ESCAPE, 0xDC, ESCAPE, 0xDD, END])


def test_addresses_take_two_bytes_over_256_inputs() -> None:
    assert LinkFormat(inputs=256, outputs=1).input_bytes == 1
    frame = encode_frame(TWO_BYTES, Header.FIRST | Header.END_OF_STEP, [0x0102])
    assert frame.data[1:4] == bytes([3, 0x02, 0x01])
    assert frame.words == 2


def test_a_sample_is_split_into_frames_that_fit() -> None:
    form = LinkFormat(inputs=40, outputs=2, fifo_words=16)
    spikes = np.full((2, 40), 2, np.uint8)
    frames = list(encode_sample(form, spikes))
    assert all(frame.words <= form.fifo_words - 1 for frame in frames)
    assert sum(frame.words for frame in frames) == 160 + len(frames)


@pytest.mark.parametrize(
    "body", [b"\x81", b"\x81\x00\x00", bytes([0x55]) + crc_bytes(bytes([0x55])), bytes([0xE0]) + crc_bytes(b"\xe0")]
)
def test_bytes_that_are_no_reply_are_refused(body: bytes) -> None:
    decoder = ReplyDecoder(TWO_BYTES)
    with pytest.raises(LinkError):
        for byte in slip(body):
            decoder.feed(byte)
    assert [decoder.feed(byte) for byte in slip(b"\x81" + crc_bytes(b"\x81"))][-1] == Reply(Code.STEP)


# ------------------------------------------------------------------------------------------------ in hardware


class Host:
    """Drives a linked core in the Amaranth simulator, bit by bit."""

    def __init__(
        self,
        network: Network,
        fifo_words: int = 16,
        packed: bool = False,
        *,
        identity: int | None = None,
        family: str = "ice40",
    ) -> None:
        plan = make_plan(network, family)
        self.form = replace(link_of(network), fifo_words=fifo_words, packed=packed)
        stored = None if identity is None else (identity,) * identity_memory(plan.family).depth
        self.dut = LinkedCore(plan.core(), self.form, CLOCKS_PER_BIT, plan.family, stored)
        if identity is not None:
            self.form = replace(self.form, identity=identity)
        self.replies: list[Reply] = []
        self.bytes_received = 0

    def run(self, *talk: Callable[[Any], Coroutine[Any, Any, None]]) -> list[Reply]:
        """Run conversations one after another; all replies."""

        async def host(ctx: Any) -> None:
            for part in talk:
                await part(ctx)

        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(host)
        simulator.add_testbench(self._receive, background=True)
        simulator.run()
        return self.replies

    def sends(self, data: bytes, stop_bit: int = 1) -> Callable[[Any], Coroutine[Any, Any, None]]:
        """Bytes, without waiting for an answer."""

        async def talk(ctx: Any) -> None:
            for byte in data:
                for bit in (0, *((byte >> i) & 1 for i in range(8)), stop_bit):
                    ctx.set(self.dut.rx, bit)
                    await ctx.tick().repeat(CLOCKS_PER_BIT)
                ctx.set(self.dut.rx, 1)
            await ctx.tick().repeat(CLOCKS_PER_BIT)

        return talk

    def awaits(self, replies: int, patience: int = 200_000) -> Callable[[Any], Coroutine[Any, Any, None]]:
        """Wait until there are so many replies in all."""

        async def talk(ctx: Any) -> None:
            for _ in range(patience):
                if len(self.replies) >= replies:
                    return
                await ctx.tick()
            raise AssertionError(f"{replies} replies expected, got {self.replies}")

        return talk

    def sends_frames(self, frames: Iterable[Frame]) -> Callable[[Any], Coroutine[Any, Any, None]]:
        """Frames under flow control, until every one is answered."""

        async def talk(ctx: Any) -> None:
            before, sent = len(self.replies), list[int]()  # the words that each reply frees
            for frame in frames:
                while sum(sent[len(self.replies) - before :]) + frame.words >= self.form.fifo_words:
                    await ctx.tick()
                sent += [0] * (frame.replies - 1) + [frame.words]
                await self.sends(frame.data)(ctx)
            await self.awaits(before + len(sent))(ctx)

        return talk

    async def _receive(self, ctx: Any) -> None:
        decoder = ReplyDecoder(self.form)
        while True:
            while ctx.get(self.dut.tx):
                await ctx.tick()
            await ctx.tick().repeat(CLOCKS_PER_BIT // 2)
            byte = 0
            for bit in range(8):
                await ctx.tick().repeat(CLOCKS_PER_BIT)
                byte |= ctx.get(self.dut.tx) << bit
            await ctx.tick().repeat(CLOCKS_PER_BIT)
            assert ctx.get(self.dut.tx) == 1
            self.bytes_received += 1
            reply = decoder.feed(byte)
            if reply is not None:
                self.replies.append(reply)


def network(inputs: int = 6, outputs: int = 5, **changes: Any) -> Network:
    return chain(1, (inputs, 8, outputs), fire=np.array(6), sub=np.array(6), **changes)


def assert_answers(replies: list[Reply], expected: np.ndarray) -> None:
    """Replies that end steps bring exactly the output spikes `expected` [samples, steps, outputs]."""
    answers = [reply for reply in replies if reply.code in (Code.STEP, Code.SAMPLE)]
    samples, steps, outputs = expected.shape
    assert len(answers) == samples * steps
    for number, reply in enumerate(answers):
        sample, step = divmod(number, steps)
        assert reply.code == (Code.SAMPLE if step == steps - 1 else Code.STEP)
        assert sorted(reply.spikes) == np.repeat(np.arange(outputs), expected[sample, step]).tolist()
        assert max(reply.spikes, default=0) < outputs


def spikes_and_answer(net: Network, samples: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    spikes = random_spikes(2, net, samples, steps)
    return spikes, simulate(net, spikes, executor="reference").spikes


SEVERAL: dict[str, Any] = {"max_spikes": 3, "reset_place": ResetPlace.SAME}


@pytest.mark.parametrize(
    ("inputs", "outputs", "changes", "family"),
    [
        (6, 5, {}, "ice40"),
        (6, 5, {}, "ecp5"),  # with a register behind its FIFO
        (300, 5, {}, "ice40"),
        (6, 300, {}, "ice40"),
        (6, 5, SEVERAL, "ice40"),
        pytest.param(6, 300, SEVERAL, "ecp5", marks=pytest.mark.slow),
    ],
)
def test_samples_back_to_back(inputs: int, outputs: int, changes: dict[str, Any], family: str) -> None:
    net = network(inputs, outputs, **changes)
    spikes, expected = spikes_and_answer(net, samples=2, steps=3)
    assert expected.max() > bool(changes)
    host = Host(net, family=family)
    frames = [frame for sample in spikes for frame in encode_sample(host.form, sample)]
    replies = host.run(host.sends_frames(frames))
    assert len(replies) == len(frames)
    assert_answers(replies, expected)
    sizes = [sample_bytes(host.form, *pair) for pair in zip(spikes, expected, strict=True)]
    assert sum(to_device for to_device, _ in sizes) == sum(len(frame.data) for frame in frames)
    assert sum(from_device for _, from_device in sizes) == host.bytes_received


def test_replies_start_from_an_identity_in_a_memory() -> None:
    """The very first one too, whatever it is, and those behind an error."""
    net = network()
    spikes, expected = spikes_and_answer(net, samples=1, steps=3)
    frames = list(encode_sample(LinkFormat(inputs=6, outputs=5, fifo_words=16), spikes[0]))
    for first in ([], [b"\x01"]):
        host = Host(net, identity=0xBEEF)
        errors = [part for data in first for part in (host.sends(slip(data)), host.awaits(1))]
        replies = host.run(*errors, host.sends_frames(frames))
        assert [reply.code for reply in replies[: len(first)]] == [Code.ERROR] * len(first)
        assert_answers(replies[len(first) :], expected)


def corrupted(frame: Frame) -> bytes:
    return frame.data[:-3] + bytes([frame.data[-3] ^ 0x01]) + frame.data[-2:]


@pytest.mark.parametrize("family", ["ice40", "ecp5"])
def test_a_broken_frame_drops_its_sample_and_the_next_one_works(family: str) -> None:
    net = network()
    spikes, expected = spikes_and_answer(net, samples=2, steps=3)
    host = Host(net, family=family)
    broken = list(encode_sample(host.form, spikes[0]))
    whole = list(encode_sample(host.form, spikes[1]))
    replies = host.run(
        host.sends_frames(broken[:1]),  # a step of the sample that will be dropped
        host.sends(corrupted(broken[1])),
        host.awaits(2),
        host.sends(broken[2].data),  # belongs to no sample any more
        host.awaits(3),
        host.sends_frames(whole),
    )
    assert [reply.code for reply in replies[:3]] == [Code.STEP, Code.ERROR, Code.ERROR]
    assert [reply.reason for reply in replies[1:3]] == [Reason.CHECKSUM, Reason.ORDER]
    assert_answers(replies[3:], expected[1:])


def end_of_sample(form: LinkFormat, addresses: list[int], header: Header = Header.FIRST) -> bytes:
    return encode_frame(form, header | Header.END_OF_SAMPLE, addresses).data


FORM = LinkFormat(inputs=6, outputs=5, fifo_words=16)
FAULTS = {
    "address": (end_of_sample(FORM, [1, 6]), Reason.ADDRESS),
    "half an address": (end_of_sample(FORM, [255]), Reason.ADDRESS),
    "no sample": (end_of_sample(FORM, [1], Header(0)), Reason.ORDER),
    "unknown header": (encode_frame(FORM, Header.FIRST | 8, [1]).data, Reason.HEADER),
    "two ends": (encode_frame(FORM, Header(7), [1]).data, Reason.HEADER),
    "overrun": (end_of_sample(FORM, [1] * 40), Reason.OVERRUN),
    "just too many": (end_of_sample(FORM, [1] * 15), Reason.OVERRUN),
    "too short": (slip(b"\x05"), Reason.CHECKSUM),
    "no checksum": (slip(b"\x05\x01\x02"), Reason.CHECKSUM),
    "broken escape": (bytes([ESCAPE, 0x01]) + end_of_sample(FORM, [1])[1:], Reason.CHECKSUM),
    "half a checksum": (slip(b"\x05\x01\x02" + crc_bytes(b"\x05\x01\x02")[:1]), Reason.CHECKSUM),
    "escaped without need": (end_of_sample(FORM, [1]).replace(b"\x01", bytes([ESCAPE, 0x07])), Reason.CHECKSUM),
    "noise in front": (b"\x37\x99" + end_of_sample(FORM, [1])[1:], Reason.CHECKSUM),
}


def test_refusals_behind_a_long_reply_keep_their_reasons() -> None:
    """Three refused frames arrive while a reply of 300 spikes of two bytes is still on the line."""
    net = network(outputs=300)
    spikes, expected = spikes_and_answer(net, samples=1, steps=3)
    longest = int(expected[0].sum(axis=1).max())
    host = Host(net, fifo_words=64)
    frames = list(encode_sample(host.form, spikes[0]))
    faults = ("too short", "address", "no sample")
    assert sum(len(FAULTS[name][0]) for name in faults) < 2 * longest
    replies = host.run(
        host.sends(b"".join(frame.data for frame in frames) + b"".join(FAULTS[name][0] for name in faults)),
        host.awaits(len(frames) + len(faults)),
    )
    assert_answers(replies, expected)
    refused = [reply.reason for reply in replies if reply.code is Code.ERROR]
    assert refused == [FAULTS[name][1] for name in faults]
    assert len(replies) == len(frames) + len(faults)


@pytest.mark.parametrize(("data", "reason"), FAULTS.values(), ids=FAULTS.keys())
def test_a_faulty_frame_is_answered_and_leaves_no_trace(data: bytes, reason: Reason) -> None:
    net = network()
    spikes, expected = spikes_and_answer(net, samples=1, steps=2)
    host = Host(net)
    replies = host.run(host.sends(data), host.awaits(1), host.sends_frames(encode_sample(host.form, spikes[0])))
    assert (replies[0].code, replies[0].reason) == (Code.ERROR, reason)
    assert_answers(replies[1:], expected)


def test_half_an_address_of_two_bytes_is_refused() -> None:
    host = Host(network(inputs=300))
    body = bytes([Header.FIRST | Header.END_OF_SAMPLE, 1])
    replies = host.run(host.sends(slip(body + crc_bytes(body))), host.awaits(1))
    assert replies == [Reply(Code.ERROR, reason=Reason.ADDRESS)]


def test_a_missing_stop_bit_breaks_the_frame() -> None:
    net = network()
    host = Host(net)
    frame = next(encode_sample(host.form, random_spikes(2, net, 1, 1)[0])).data
    replies = host.run(host.sends(frame[:2]), host.sends(frame[2:3], stop_bit=0), host.sends(frame[3:]), host.awaits(1))
    assert replies == [Reply(Code.ERROR, reason=Reason.CHECKSUM)]


def test_a_first_frame_inside_a_sample_is_refused_and_works_when_repeated() -> None:
    net = network()
    spikes, expected = spikes_and_answer(net, samples=2, steps=2)
    host = Host(net)
    first = list(encode_sample(host.form, spikes[0]))
    second = list(encode_sample(host.form, spikes[1]))
    replies = host.run(
        host.sends_frames(first[:1]), host.sends(second[0].data), host.awaits(2), host.sends_frames(second)
    )
    assert replies[1] == Reply(Code.ERROR, reason=Reason.ORDER)
    assert_answers(replies[2:], expected[1:])


def test_the_largest_frame_fits() -> None:
    host = Host(network())
    replies = host.run(host.sends(end_of_sample(FORM, [1] * 14)), host.awaits(1))
    assert replies[0].code == Code.SAMPLE


def test_empty_frames_and_noise_between_frames_are_survived() -> None:
    net = network()
    spikes, expected = spikes_and_answer(net, samples=1, steps=2)
    host = Host(net)
    replies = host.run(host.sends(bytes([END] * 5)), host.sends_frames(encode_sample(host.form, spikes[0])))
    assert_answers(replies, expected)
