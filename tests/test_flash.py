"""Weights in SPI flash: the image, and the loader that takes them from a flash, or refuses to."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from spi_flash import SpiFlash
from spikeloom.compiler.output.flash_image import (
    address_bits,
    flash_words,
    join_flash,
    make_flash_image,
    parse_flash_image,
)
from spikeloom.hdl.errors import InputError
from spikeloom.hdl.link.flash_loader import HEADER, WEIGHTS_OFFSET, FlashFormat, FlashLoader, flash_crc
from spikeloom.hdl.memories.spram import SpramMemory, SpramShape

DESIGN = 0x1234ABCD
OFFSET = 0x300

ATTEMPT = 4430
"""Cycles of an attempt without its words."""


@dataclass(frozen=True)
class Weights:
    """Some words, and how they lie in flash."""

    shape: SpramShape
    words: list[int]
    form: FlashFormat
    image: bytes

    @property
    def flash(self) -> bytes:
        return bytes(OFFSET) + self.image


def weights(depth: int = 24, width: int = 10, design: int = DESIGN, seed: int = 1) -> Weights:
    shape = SpramShape(depth, width)
    rng = random.Random(seed)
    words = [rng.getrandbits(width) for _ in range(depth)]
    sprams = shape.pack(words)
    bits = address_bits(sprams)
    content = flash_words(sprams, bits)
    form = FlashFormat(words=len(content), address_bits=bits, design=design, offset=OFFSET)
    return Weights(shape, words, form, make_flash_image(form, content))


# ------------------------------------------------------------------------------------------------------ the image


def test_the_checksum_is_the_catalogued_one() -> None:
    assert flash_crc(b"123456789") == 0x0376E6E7  # CRC-32/MPEG-2's check value


def test_an_image_is_read_back() -> None:
    made = weights(40, 12)
    parsed = parse_flash_image(made.image + b"\xff" * 100)
    assert list(parsed.words) == made.words
    assert (parsed.address_bits, parsed.design) == (made.form.address_bits, DESIGN)
    assert len(made.image) == made.form.size == HEADER.size + 40 * 2 + 4


def test_several_srams_lie_behind_one_another() -> None:
    sprams = [(1, 2, 3), (4, 5, 6, 7, 8), (9,)]
    assert address_bits(sprams) == 3
    assert flash_words(sprams, 3) == (1, 2, 3, 0, 0, 0, 0, 0, 4, 5, 6, 7, 8, 0, 0, 0, 9)


def test_an_image_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="a flash image of 24 words cannot hold 23"):
        make_flash_image(weights().form, [0] * 23)


@pytest.mark.parametrize(("words", "bits"), [(0, 4), (65, 4), (1, 15)])
def test_a_format_beyond_the_srams_is_refused(words: int, bits: int) -> None:
    with pytest.raises(ValueError, match="do not lie in 4 SPRAMs"):
        FlashFormat(words=words, address_bits=bits, design=0)


IMAGE = weights().image


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"", "a weights image has a header: these 0 bytes have none"),
        (b"\xff" * 64, "a weights image has a header: these 64 bytes have none"),
        (b"ABCD" + IMAGE[4:], "a weights image starts with b'SPKW': this starts with b'ABCD'"),
        (IMAGE[:4] + b"\x07" + IMAGE[5:], "a weights image must have version 1: this has 7"),
        (IMAGE[:-1], "a weights image of 24 words has 68 bytes: got 67; write"),
        (IMAGE[:40] + b"\x00\x00" + IMAGE[42:], "a weights image ends with its checksum: it does not match"),
        (IMAGE[:8] + b"\xff\xff\xff\xff" + IMAGE[12:], "a weights image of 4294967295 words has 8589934610 bytes"),
    ],
    ids=("empty", "blank", "magic", "version", "cut-off", "checksum", "length"),
)
def test_a_damaged_image_is_refused(image: bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_flash_image(image)
    assert str(caught.value).startswith(message)


def test_a_flash_holds_bitstream_and_weights() -> None:
    made = weights()
    form = replace(made.form, offset=WEIGHTS_OFFSET)
    flash = join_flash(b"\x7e" * 104_090, form, made.image)
    assert flash[:104_090] == b"\x7e" * 104_090
    assert set(flash[104_090:WEIGHTS_OFFSET]) == {0xFF}
    assert flash[WEIGHTS_OFFSET:] == made.image
    with pytest.raises(ValueError, match="a bitstream of 131073 bytes reaches beyond the weights at 131072"):
        join_flash(bytes(WEIGHTS_OFFSET + 1), form, made.image)


# ----------------------------------------------------------------------------------------------------- the loader


class LoadedMemory(wiring.Component):
    """A loader and the memory that it fills."""

    def __init__(self, made: Weights, identity: int | None = None) -> None:
        self.loader = FlashLoader(made.form, is_told=identity is not None)
        self.identity = identity
        self.memory = SpramMemory(made.shape)
        self.address = (made.shape.depth - 1).bit_length()
        super().__init__(
            {
                **{name: Out(1) for name in ("cs", "sck", "copi", "ready", "failed")},
                **{"cipo": In(1), "read_enable": In(1), "read_address": In(self.address)},
                "read_data": Out(made.shape.width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.loader, m.submodules.memory = self.loader, self.memory
        wiring.connect(m, self.loader.load, self.memory.load)
        for name in ("cs", "sck", "copi", "ready", "failed"):
            m.d.comb += getattr(self, name).eq(getattr(self.loader, name))
        if self.identity is not None:
            m.d.comb += self.loader.identity.eq(self.identity)
        m.d.comb += [
            self.loader.cipo.eq(self.cipo),
            self.memory.read_enable.eq(self.read_enable),
            self.memory.read_address.eq(self.read_address),
            self.read_data.eq(self.memory.read_data),
        ]
        return m


@dataclass
class Outcome:
    """What a loader said in each attempt, when it was ready, and what the memory then held."""

    failures: int
    ready_after: int | None
    words: list[int]


def attempt(
    made: Weights,
    flash: SpiFlash,
    *,
    attempts: int = 1,
    replacement: bytes | None = None,
    identity: int | None = None,
) -> Outcome:
    """Let a design load from a flash, for so many attempts; after the first failure it may hold something else."""
    dut = LoadedMemory(made, identity)
    outcome = Outcome(0, None, [])

    async def watch(ctx: Any) -> None:
        failed = 0
        for cycle in range(attempts * (ATTEMPT + 32 * made.form.words)):
            await ctx.tick()
            assert not (ctx.get(dut.ready) and ctx.get(dut.failed))
            if ctx.get(dut.failed) and not failed:
                outcome.failures += 1
                flash.contents = replacement or flash.contents
            failed = ctx.get(dut.failed)
            if ctx.get(dut.ready):
                outcome.ready_after = cycle + 1
                break
        ctx.set(dut.read_enable, 1)
        for address in range(made.shape.depth):
            ctx.set(dut.read_address, address)
            await ctx.tick()
            outcome.words.append(ctx.get(dut.read_data))
        for _ in range(40):  # nothing moves any more
            await ctx.tick()
            if outcome.ready_after is not None:
                assert ctx.get(dut.ready)
                assert not ctx.get(dut.cs)
                assert not ctx.get(dut.sck)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_process(flash.process(dut))
    simulator.add_testbench(watch)
    simulator.run()
    return outcome


@pytest.mark.parametrize(("depth", "width"), [(24, 10), (1, 16), pytest.param(33, 8, marks=pytest.mark.slow), (5, 40)])
def test_weights_are_loaded(depth: int, width: int) -> None:
    made = weights(depth, width)
    flash = SpiFlash(made.flash, wake_cycles=1900)
    outcome = attempt(made, flash)
    assert outcome.words == made.words
    assert outcome.failures == 0
    assert outcome.ready_after is not None
    read = 0x03 << 24 | OFFSET + HEADER.size
    assert flash.commands == [b"\xab", read.to_bytes(4, "big")]


def corrupt(data: bytes, byte: int, bit: int = 0) -> bytes:
    return data[:byte] + bytes([data[byte] ^ 1 << bit]) + data[byte + 1 :]


FLASH = weights().flash


def half_a_checksum() -> bytes:
    """The second half of the checksum is what the first half, which is wrong, leads to."""
    body = corrupt(weights().image, 20)[:-4]
    body += (flash_crc(body) >> 16 ^ 0x40).to_bytes(2, "big")
    return bytes(OFFSET) + body + (flash_crc(body) >> 16).to_bytes(2, "big")


@pytest.mark.parametrize(
    "contents",
    [
        pytest.param(corrupt(FLASH, OFFSET + HEADER.size), id="first-word"),
        pytest.param(corrupt(FLASH, len(FLASH) - 5, 7), id="last-word", marks=pytest.mark.slow),
        pytest.param(corrupt(FLASH, len(FLASH) - 1), id="checksum"),
        pytest.param(corrupt(FLASH, len(FLASH) - 4, 7), id="checksum-first-bit"),
        pytest.param(half_a_checksum(), id="half-a-checksum"),
        pytest.param(FLASH[:-6], id="truncated"),
        pytest.param(FLASH[:-1], id="truncated-checksum", marks=pytest.mark.slow),
        pytest.param(b"", id="blank"),
        pytest.param(bytes(4096), id="zeros", marks=pytest.mark.slow),
        pytest.param(b"\x00" + FLASH, id="shifted", marks=pytest.mark.slow),
        pytest.param(weights(design=DESIGN + 1).flash, id="other-design"),
        pytest.param(weights(23).flash, id="shorter"),
        pytest.param(weights(25).flash, id="longer", marks=pytest.mark.slow),
    ],
)
def test_what_is_not_the_weights_is_refused(contents: bytes) -> None:
    outcome = attempt(weights(), SpiFlash(contents))
    assert outcome.ready_after is None
    assert outcome.failures == 1


def test_the_same_words_for_another_header_are_refused() -> None:
    """The header takes part though it is not read: only the CRC of these words differs."""
    ours, theirs = weights(), weights(design=DESIGN + 1)
    assert ours.image[HEADER.size : -4] == theirs.image[HEADER.size : -4]
    assert ours.image[-4:] != theirs.image[-4:]


def test_weights_of_the_identity_that_is_told_are_taken_and_no_others() -> None:
    made, mine = weights(), 0xC0DE
    named = replace(made, image=make_flash_image(made.form.named(mine), made.words))
    assert parse_flash_image(named.image).words == tuple(made.words)
    assert made.form.named(0) == made.form != made.form.named(1)
    assert attempt(made, SpiFlash(named.flash), identity=mine).words == made.words
    for image in (made, replace(made, image=make_flash_image(made.form.named(mine ^ 1), made.words))):
        outcome = attempt(made, SpiFlash(image.flash), identity=mine)
        assert (outcome.ready_after, outcome.failures) == (None, 1)


def test_a_slow_flash_is_asked_again() -> None:
    made = weights()
    flash = SpiFlash(made.flash, deaf=2)
    outcome = attempt(made, flash, attempts=3)
    assert outcome.words == made.words
    assert outcome.ready_after is not None
    assert outcome.ready_after > 2 * ATTEMPT
    assert outcome.failures == 1, "failed stays until it is ready"
    assert flash.commands.count(b"\xab") == 3


@pytest.mark.slow
def test_a_flash_that_stays_asleep_is_a_failure() -> None:
    outcome = attempt(weights(), SpiFlash(FLASH, deaf=100), attempts=2)
    assert (outcome.ready_after, outcome.failures) == (None, 1)


def test_the_loader_recovers_when_the_flash_does() -> None:
    made = weights()
    outcome = attempt(made, SpiFlash(b""), attempts=2, replacement=made.flash)
    assert outcome.words == made.words
    assert outcome.failures == 1


def random_flips(count: int) -> Sequence[tuple[int, int]]:
    rng = random.Random(3)
    return [(rng.randrange(OFFSET + HEADER.size, len(FLASH)), rng.randrange(8)) for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize(("byte", "bit"), random_flips(20))
def test_any_flipped_bit_is_refused(byte: int, bit: int) -> None:
    assert attempt(weights(), SpiFlash(corrupt(FLASH, byte, bit))).ready_after is None
