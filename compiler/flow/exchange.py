"""The memories of a design whose contents can be exchanged in a finished bitstream: what they hold, block by block,
and where a build has them (`layout.json`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ...boards.boards import Board
from ...boards.clock import clocks_per_bit
from ...boards.devices import Device
from ...boards.routed_memories import PlacedBlock, read_words
from ...boards.toolchain import Exchange, unpacked
from ...boards.top import SerialCore
from ...hdl.errors import InputError, MismatchError, OptionError
from ...hdl.files import read_regular
from ...hdl.json_files import read_json
from ...hdl.link.flash_loader import FlashFormat
from ...hdl.link.flashed_core import FlashedCore
from ...hdl.link.linked_core import LinkedCore, identity_memory
from ...hdl.link.protocol import LinkFormat
from ...hdl.memories.memory import MemoryShape
from ..output.build_folder import MAX_OUTPUT_BYTES, write_json
from ..plan.layout import filled, layout_number, random_words, stored_memories
from ..plan.plan import Plan
from .facts import Design

LAYOUT = "layout.json"
"""Where the memories lie whose contents can be exchanged."""

LAID_NETWORK = "layout.nir"
"""The integer network for which they were laid out."""

LAYOUT_SCHEMA = 1

IDENTITY = "link.identity"

_CONTENTS = ("connect \\DATA ", "parameter \\DATA ")
"""How the lines of RTLIL begin that say what is in a memory."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a later exchange must know of a build: the share of spare words, a hash of all that stays (`layout_number`),
    how many exchanges there were, and where every block RAM is by its name, such as `0.entries[2]`."""

    schema_version: int
    headroom: float
    fixed: str
    reloads: int
    blocks: dict[str, PlacedBlock]


@dataclass(frozen=True)
class BlockWords:
    """What a block RAM holds: words of so many bits."""

    bits: int
    words: Sequence[int]


def block_words(plan: Plan, identity: Sequence[int]) -> dict[str, BlockWords]:
    """What every block RAM holds that can be exchanged, the identity's too, of which these are the words."""
    memories: dict[str, tuple[MemoryShape, Sequence[int]]] = {
        f"{engine}.{role}": (stored.shape, stored.words) for (engine, role), stored in stored_memories(plan).items()
    }
    memories[IDENTITY] = (identity_memory(plan.family), identity)
    return {
        f"{name}[{number}]": BlockWords(block.high - block.low, block.contents(words))
        for name, (shape, words) in memories.items()
        for number, block in enumerate(shape.blocks)
    }


def identity_words(plan: Plan, identity: int) -> tuple[int, ...]:
    """What the identity's memory holds: it is read at any address."""
    return (identity,) * identity_memory(plan.family).depth


def linked_design(design: Design, flash: FlashFormat | None) -> SerialCore:
    """A design's core with all that is around it."""
    plan = design.plan
    identity = None if plan.headroom is None else identity_words(plan, design.link.identity)
    return _linked(design, plan, design.link, identity, flash)


def exchange_of(design: Design, flash: FlashFormat | None) -> Exchange | None:
    """What is synthesised in place of a design whose contents can be exchanged; None where they cannot."""
    plan = design.plan
    if plan.headroom is None:
        return None
    stand_in, fill = filled(plan), random_words(identity_memory(plan.family), IDENTITY)
    laid, true = block_words(stand_in, fill), block_words(plan, identity_words(plan, design.link.identity))
    return Exchange(
        stand_in=_linked(design, stand_in, design.link, fill, flash),
        bits={name: block.bits for name, block in laid.items()},
        laid={name: block.words for name, block in laid.items()},
        true={name: block.words for name, block in true.items()},
    )


def _linked(
    design: Design, plan: Plan, link: LinkFormat, identity: Sequence[int] | None, flash: FlashFormat | None
) -> SerialCore:
    bit = None if design.spi else clocks_per_bit(design.clock.hz, design.baud)
    core = LinkedCore(plan.core(), link, bit, plan.family, identity)
    return core if flash is None else FlashedCore(core, flash)


def write_layout(folder: Path, design: Design) -> None:
    """Write where the memories of a built design are."""
    assert design.built is not None and design.plan.headroom is not None
    layout = Layout(
        schema_version=LAYOUT_SCHEMA,
        headroom=design.plan.headroom,
        fixed=layout_number(design.plan),
        reloads=0,
        blocks=dict(design.built.blocks),
    )
    write_json(folder / LAYOUT, asdict(layout))


def count_reload(folder: Path, layout: Layout) -> None:
    """Write the layout again after another exchange."""
    write_json(folder / LAYOUT, asdict(replace(layout, reloads=layout.reloads + 1)))


def read_layout(folder: Path) -> Layout:
    """The layout of a build folder. Raises OptionError where it was built without, InputError where it is damaged."""
    file = folder / LAYOUT
    if not file.is_file() or not (folder / LAID_NETWORK).is_file():
        raise OptionError(
            f"weights are exchanged in a build with spare room for them: {folder} was built without; compile it again "
            "with --headroom 10%"
        )
    layout = read_json(file, Layout, "a layout", "compile again")
    if layout.schema_version != LAYOUT_SCHEMA:
        raise InputError(
            f"a layout's schema_version must be {LAYOUT_SCHEMA}: {file} has {layout.schema_version}; compile again"
        )
    return layout


def check_bitstream(
    folder: Path, target: Board | Device, plan: Plan, identity: int, blocks: Mapping[str, PlacedBlock], native: bool
) -> int:
    """Compare every word in a folder's bitstream with those of a plan; returns how many. Raises MismatchError."""
    wanted = block_words(plan, identity_words(plan, identity))
    if wanted.keys() != blocks.keys():
        raise InputError(f"a layout lists the memories of its design: {folder / LAYOUT} lists others; compile again")
    text = unpacked(target, folder, native=native)
    places = {name: (blocks[name], len(block.words)) for name, block in wanted.items()}
    held = read_words(text, plan.family, places)
    for name, block in wanted.items():
        for number, (word, found) in enumerate(zip(block.words, held[name], strict=True)):
            if word != found:
                raise MismatchError(f"word {number} of {name} in the bitstream is {found:#x}, not {word:#x}")
    return sum(len(block.words) for block in wanted.values())


def same_logic(one: Path, other: Path) -> bool:
    """Whether two RTLIL files differ in the contents of memories alone."""
    return _without_contents(one) == _without_contents(other)


def _without_contents(file: Path) -> list[str]:
    text = read_regular(file, "a design's RTLIL", MAX_OUTPUT_BYTES).decode()
    return [line for line in text.splitlines() if not line.lstrip().startswith(_CONTENTS)]
