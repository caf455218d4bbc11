"""The block RAMs of a routed design: found by what they hold, exchanged, and read back.

nextpnr writes what every block RAM holds as text: an iCE40's as 16 lines of 256 bits (`.ram_data X Y`), an ECP5's as
2,048 words of 9 bits (`.bram_init N`), and the unpackers of bitstreams write the same. A design in which no two block
RAMs hold the same can therefore be searched for one by its contents, whatever the tools made of its name and place.

How a memory's bits lie in a block follows from the width of its port alone, which yosys chooses: words follow each
other, and in blocks with a ninth bit those of less than 9 bits leave it out. An iCE40 numbers the 16 bits of a row with
the digits reversed (yosys, `ice40/brams_map.v` and `lattice/brams_map_16kd.v`). `find_blocks` trusts none of this: what
it does not find as it should be is an error when the design is built.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..hdl.errors import InputError, ToolError
from ..hdl.memories.memory import Family

Key = TypeVar("Key")

PORT_WIDTHS: dict[Family, tuple[int, ...]] = {Family.ICE40: (16, 8, 4, 2), Family.ECP5: (36, 18, 9, 4, 2, 1)}
"""The widths that a block RAM's port may have."""

BLOCK_BITS = {Family.ICE40: 4096, Family.ECP5: 18432}
"""The bits of a block RAM."""

_ROW = 16
_REVERSED = [int(f"{bit:04b}"[::-1], 2) for bit in range(_ROW)]
_SECTIONS = {
    Family.ICE40: re.compile(r"^\.ram_data (\d+) (\d+)\n((?:[0-9a-f]{64}\n){16})", re.MULTILINE),
    Family.ECP5: re.compile(r"^\.bram_init (\d+)\n((?:[0-9a-f]{3}[ \n]?)+)", re.MULTILINE),
}


@dataclass(frozen=True, order=True)
class PlacedBlock:
    """Where a block RAM is in a routed design, as the text numbers it, and how wide its port is."""

    place: tuple[int, ...]
    width: int


def find_blocks(
    text: str, family: Family, wanted: Mapping[Key, Sequence[int]], bits: Mapping[Key, int]
) -> dict[Key, PlacedBlock]:
    """Where the block RAMs are that hold these words, each of so many `bits`.

    Raises ToolError for one that is not there exactly once: the tools keep their memories in another way than we think.
    """
    places: dict[int, list[tuple[int, ...]]] = {}
    for place, held in _held(text, family).items():
        places.setdefault(held, []).append(place)
    found: dict[Key, PlacedBlock] = {}
    for key, words in wanted.items():
        candidates = [
            PlacedBlock(place, width)
            for width in PORT_WIDTHS[family]
            if width >= bits[key] and _fits(family, width, len(words))
            for place in places.get(_packed(family, width, words), ())
        ]
        if len(candidates) != 1:
            raise ToolError(
                f"a memory that can be exchanged is one block RAM of the routed design: {len(candidates)} hold what "
                f"{key} was given; build without --headroom, and tell us which yosys and nextpnr these are"
            )
        found[key] = candidates[0]
    return found


def exchanged(text: str, family: Family, contents: Mapping[PlacedBlock, Sequence[int]]) -> str:
    """The routed design with these words in its block RAMs. Raises InputError where it lacks one of them."""
    wanted = {block.place: _packed(family, block.width, words) for block, words in contents.items()}
    missing = wanted.keys() - _held(text, family).keys()
    if missing:
        raise InputError(f"a routed design has the block RAMs of its build: {min(missing)} is missing; compile again")

    def section(match: re.Match[str]) -> str:
        place = _place(match)
        return match[0] if place not in wanted else _written(family, place, wanted[place])

    return _SECTIONS[family].sub(section, text)


def read_words(text: str, family: Family, blocks: Mapping[Key, tuple[PlacedBlock, int]]) -> dict[Key, list[int]]:
    """The first so many words of block RAMs, with all bits of their ports. Raises InputError where there is none."""
    held = _held(text, family)
    missing = {block.place for block, _ in blocks.values()} - held.keys()
    if missing:
        raise InputError(f"a bitstream has the block RAMs of its build: {min(missing)} is missing; compile again")
    return {
        key: [held[block.place] >> _offset(family, block.width, word) & (1 << block.width) - 1 for word in range(count)]
        for key, (block, count) in blocks.items()
    }


def _held(text: str, family: Family) -> dict[tuple[int, ...], int]:
    """What every block RAM holds, the first bit of the first word lowest."""
    return {_place(match): _parsed(family, match.groups()[-1]) for match in _SECTIONS[family].finditer(text)}


def _place(match: re.Match[str]) -> tuple[int, ...]:
    return tuple(int(number) for number in match.groups()[:-1])


def _parsed(family: Family, body: str) -> int:
    words = body.split()
    if family is Family.ICE40:
        return _turned(sum(int(line, 16) << 256 * number for number, line in enumerate(words)))
    return int("".join(f"{int(word, 16):09b}" for word in reversed(words)) or "0", 2)


def _written(family: Family, place: tuple[int, ...], held: int) -> str:
    if family is Family.ICE40:
        turned = _turned(held)
        lines = [f"{turned >> 256 * number & (1 << 256) - 1:064x}" for number in range(16)]
        return f".ram_data {place[0]} {place[1]}\n" + "\n".join(lines) + "\n"
    words = [f"{held >> 9 * number & 0x1FF:03x}" for number in range(BLOCK_BITS[family] // 9)]
    lines = [" ".join(words[first : first + 8]) for first in range(0, len(words), 8)]
    return f".bram_init {place[0]}\n" + "\n".join(lines) + "\n"


def _turned(held: int) -> int:
    """An iCE40's bits with the digits of their place in a row reversed; doing it twice changes nothing."""
    text = f"{held:0{BLOCK_BITS[Family.ICE40]}b}"
    rows = (text[first : first + _ROW] for first in range(0, len(text), _ROW))
    return int("".join("".join(row[place] for place in _REVERSED) for row in rows), 2)


def _packed(family: Family, width: int, words: Sequence[int]) -> int:
    held = 0
    for number, word in enumerate(words):
        held |= word << _offset(family, width, number)
    return held


def _offset(family: Family, width: int, word: int) -> int:
    """The lowest bit of a word."""
    if family is Family.ICE40 or width >= 9:
        return word * width
    group, place = divmod(word, 8 // width)
    return group * 9 + place * width


def _fits(family: Family, width: int, words: int) -> bool:
    return words > 0 and _offset(family, width, words - 1) + width <= BLOCK_BITS[family]
