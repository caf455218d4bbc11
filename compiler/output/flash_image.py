"""The weights' image in SPI flash (format: `spikeloom.hdl.link.flash_loader`), and a flash's whole contents."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from ...hdl.errors import InputError
from ...hdl.link.flash_loader import CRC_BYTES, HEADER, MAGIC, VERSION, FlashFormat, flash_crc
from ...hdl.memories.spram import SPRAM_WIDTH
from ..plan.layout import fixed_parts
from ..plan.plan import Plan

WORD_BYTES = SPRAM_WIDTH // 8

ERASED = 0xFF

MAX_IMAGE_BYTES = 16 << 20
"""What the largest flash of a board holds; an image may be read back with the rest of its flash."""

ADVICE = "write the build's weights.bin to flash again"


@dataclass(frozen=True, kw_only=True)
class FlashImage:
    """A weights' image, taken apart: its format without the offset, and the words."""

    address_bits: int
    design: int
    words: tuple[int, ...]


def plan_flash(plan: Plan) -> tuple[FlashFormat, bytes]:
    """The format and the image of a plan's weights in SPRAM."""
    bits = address_bits(plan.sprams)
    words = flash_words(plan.sprams, bits)
    form = FlashFormat(words=len(words), address_bits=bits, design=design_number(plan))
    return form, make_flash_image(form, words)


def design_number(plan: Plan) -> int:
    """32 bits made of everything in a plan's core that is not in SPRAM, nor exchanged with it."""
    return int.from_bytes(hashlib.sha256(fixed_parts(plan).encode()).digest()[:4], "big")


def flash_words(sprams: Sequence[Sequence[int]], address_bits: int) -> tuple[int, ...]:
    """The words of several SPRAMs behind one another, each but the last filled up to 2^`address_bits` words."""
    filled = [[*words, *[0] * ((1 << address_bits) - len(words))] for words in sprams[:-1]]
    return tuple(word for words in [*filled, sprams[-1]] for word in words)


def address_bits(sprams: Sequence[Sequence[int]]) -> int:
    """The width of an address that reaches every word of these SPRAMs."""
    return max(1, (max(map(len, sprams)) - 1).bit_length())


def make_flash_image(form: FlashFormat, words: Sequence[int]) -> bytes:
    """Header, 16-bit words and CRC. Raises ValueError for a number of words that is not the format's."""
    if len(words) != form.words:
        raise ValueError(f"a flash image of {form.words} words cannot hold {len(words)}")
    body = form.header + struct.pack(f">{len(words)}H", *words)
    return body + flash_crc(body).to_bytes(CRC_BYTES, "big")


def parse_flash_image(image: bytes) -> FlashImage:
    """Take an image apart. `image` may be longer, as read back from flash. Raises InputError where it is damaged."""
    if len(image) < HEADER.size or set(image[: HEADER.size]) == {ERASED}:
        raise InputError(f"a weights image has a header: these {len(image)} bytes have none; {ADVICE}")
    magic, version, bits, count, design = HEADER.unpack_from(image)
    if magic != MAGIC:
        raise InputError(f"a weights image starts with {MAGIC!r}: this starts with {magic!r}; {ADVICE}")
    if version != VERSION:
        raise InputError(f"a weights image must have version {VERSION}: this has {version}; compile again")
    end = HEADER.size + count * WORD_BYTES
    if len(image) < end + CRC_BYTES:
        raise InputError(f"a weights image of {count} words has {end + CRC_BYTES} bytes: got {len(image)}; {ADVICE}")
    if flash_crc(image[: end + CRC_BYTES]) != 0:
        raise InputError(f"a weights image ends with its checksum: it does not match; {ADVICE}")
    words = struct.unpack_from(f">{count}H", image, HEADER.size)
    return FlashImage(address_bits=bits, design=design, words=words)


def join_flash(bitstream: bytes, form: FlashFormat, image: bytes) -> bytes:
    """The flash's contents with the bitstream at 0 and the weights at their offset.

    Raises ValueError where the bitstream reaches into the weights' sector.
    """
    if len(bitstream) > form.offset:
        raise ValueError(f"a bitstream of {len(bitstream)} bytes reaches beyond the weights at {form.offset}")
    return bitstream.ljust(form.offset, bytes([ERASED])) + image
