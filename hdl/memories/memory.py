"""Memories shaped to the block RAMs of a device family.

Synthesis is never left to guess: a memory is cut into columns and each column into blocks that are exactly one block
RAM, so the number of block RAMs is known before any tool runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .filled import FilledMemory


class Family(StrEnum):
    """The FPGA families, named as their yosys commands are."""

    ICE40 = "ice40"
    ECP5 = "ecp5"


BLOCK_SHAPES: dict[Family, tuple[tuple[int, int], ...]] = {
    Family.ICE40: ((256, 16), (512, 8), (1024, 4), (2048, 2)),
    Family.ECP5: ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
}
"""(depth, width) of one block RAM in each of its modes."""

NEVER_LOGIC = 0
"""The look-up tables that a read-only memory may be built from where it must lie in block RAM: its contents can then be
exchanged in a finished bitstream."""

LOGIC_ROM_LUTS = 32
"""A read-only memory of at most this many 4-input look-up tables is built from them instead of a block RAM, unless its
shape says another number."""

BLOCK_LUTS = 36
"""A block RAM more is worth this many look-up tables less that choose between blocks: half of what a small iCE40 has
for each."""

DISTRIBUTED_DEPTH = 32
"""On ECP5 a writable memory of at most this many words is built from distributed RAM."""

CHOSEN_EARLY = 2
"""Of a late memory's blocks in a column, one of 2**2 at most is chosen in front of the registers."""


Shapes = tuple[tuple[int, int], ...]


@cache
def _best_columns(shapes: Shapes, depth: int, width: int, block_luts: int) -> tuple[int, int, Shapes]:
    """Blocks, LUTs that choose between blocks, and the shape of each column, at the least cost, where a block is worth
    so many LUTs."""
    if width <= 0:
        return 0, 0, ()
    candidates = []
    for shape in shapes:
        blocks, luts, columns = _best_columns(shapes, depth, width - shape[1], block_luts)
        stacked = -(-depth // shape[0])
        candidates.append((blocks + stacked, luts + (stacked - 1) * min(width, shape[1]), (shape, *columns)))
    return min(candidates, key=lambda c: (block_luts * c[0] + c[1], c[0], len(c[2])))


@dataclass(frozen=True)
class Block:
    """What one block RAM holds of a memory: of `words` words from the `first` on the bits from `low` to `high`."""

    low: int
    high: int
    first: int
    words: int

    def contents(self, words: Sequence[int]) -> list[int]:
        """Its words, of those of the whole memory, behind which there are zeros."""
        mask = (1 << (self.high - self.low)) - 1
        held = [(word >> self.low) & mask for word in words[self.first : self.first + self.words]]
        return held + [0] * (self.words - len(held))


@dataclass(frozen=True)
class MemoryShape:
    """How `depth` words of `width` bits lie in the blocks of `family`; `writable` for RAM, else ROM.

    A ROM of at most `logic_luts` look-up tables is built from them, on ECP5 a RAM of at most `distributed` words from
    distributed RAM. A block more is worth `block_luts` look-up tables less that choose between blocks.
    """

    family: Family
    depth: int
    width: int
    writable: bool = False
    logic_luts: int = LOGIC_ROM_LUTS
    distributed: int = DISTRIBUTED_DEPTH
    block_luts: int = BLOCK_LUTS

    @cached_property
    def style(self) -> str:
        """`block`, `distributed` or `logic`."""
        if not self.writable and self.width * -(-self.depth // 16) <= self.logic_luts:
            return "logic"
        if self.writable and self.family is Family.ECP5 and self.depth <= self.distributed:
            return "distributed"
        return "block"

    @cached_property
    def columns(self) -> tuple[tuple[int, int], ...]:
        """(first bit, block depth) of each column, low bits first, with few blocks and little between them."""
        if self.style != "block":
            return ((0, self.depth),)
        shapes = _best_columns(BLOCK_SHAPES[self.family], self.depth, self.width, self.block_luts)[2]
        columns, low = [], 0
        for depth, width in sorted(shapes, key=lambda shape: -shape[1]):
            columns.append((low, depth))
            low += width
        return tuple(columns)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The parts of which each is a block RAM, column by column."""
        lows = [low for low, _ in self.columns]
        return tuple(
            Block(low, high, first, min(depth, self.depth - first))
            for (low, depth), high in zip(self.columns, [*lows[1:], self.width], strict=True)
            for first in range(0, self.depth, depth)
        )

    @property
    def exchangeable(self) -> bool:
        """Whether other contents can take the place of its own in a finished bitstream."""
        return self.style == "block" and not self.writable and self.logic_luts == NEVER_LOGIC

    @cached_property
    def brams(self) -> int:
        """Block RAMs used."""
        if self.style != "block":
            return 0
        return sum(-(-self.depth // depth) for _, depth in self.columns)

    @property
    def luts(self) -> int:
        """About how many look-up tables: those of a ROM in logic, or those that choose between blocks."""
        if self.style == "logic":
            return self.width * -(-self.depth // 16)
        widths = [high - low for low, high in pairwise([*(low for low, _ in self.columns), self.width])]
        return sum(
            (-(-self.depth // depth) - 1) * width for (_, depth), width in zip(self.columns, widths, strict=True)
        )

    @property
    def spram(self) -> int:
        """SPRAMs used: none; see `SpramShape`."""
        return 0

    @property
    def bits(self) -> int:
        """Bits of the words themselves."""
        return self.depth * self.width


EXCHANGED_TOGETHER = 16
"""Memories whose contents can be exchanged have a multiple of so many words, so that none of their blocks has fewer: of
blocks with a few words synthesis finds bits that are alike."""


def read_only(family: Family, depth: int, width: int, logic_luts: int) -> MemoryShape:
    """The shape of a ROM of at least so many words."""
    if logic_luts == NEVER_LOGIC:
        depth = -(-depth // EXCHANGED_TOGETHER) * EXCHANGED_TOGETHER
    return MemoryShape(family, depth, width, logic_luts=logic_luts)


def select_from(choices: Sequence[ValueLike], index: Value) -> ValueLike:
    """A balanced tree of multiplexers: synthesis stalls on long chains."""
    level, layer = 0, list(choices)
    while len(layer) > 1:
        paired = [Mux(index[level], high, low) for low, high in zip(layer[::2], layer[1::2], strict=False)]
        layer = paired + ([layer[-1]] if len(layer) % 2 else [])
        level += 1
    return layer[0]


class ShapedMemory(wiring.Component):
    """One synchronous read port and, when writable, one write port over a memory shaped to real blocks.

    A read of the word that is being written returns the new word where the memory is `transparent`. Without, whoever
    uses it never does that: block RAMs leave open what they return, and what it takes to settle it costs a register and
    a multiplexer for every bit (`synthesis_passes` tells yosys). What lies beyond the last word is open too: whoever
    reads there takes no notice of it.

    The words of one that is `late` come through so many registers, as block RAM is slow: where a column has several
    blocks, the first ones behind the first multiplexers, the second ones behind the last.

    ============ === =========================================================
    Port         Dir Meaning
    ============ === =========================================================
    read_address in  word to read
    read_enable  in  start a read; the data stay until the next one
    move         in  the registers take what was read (`late` memories only)
    read_data    out the word, one cycle after `read_enable`, or after so many of `move` behind it
    write_*      in  address, data and enable (writable memories only)
    ============ === =========================================================

    Latency one cycle and those of the registers, throughput one read and one write per cycle.
    """

    read_address: Signal
    read_enable: Signal
    read_data: Signal
    write_address: Signal
    write_data: Signal
    write_enable: Signal
    move: Signal

    def __init__(
        self, shape: MemoryShape, init: Sequence[int] = (), *, transparent: bool = True, late: int = 0
    ) -> None:
        if len(init) > shape.depth:
            raise ValueError(f"a memory of {shape.depth} words cannot hold {len(init)}")
        self._shape = shape
        self._transparent = transparent
        self._late = late
        self._init = tuple(init) + (0,) * (shape.depth - len(init))
        address = max(1, (shape.depth - 1).bit_length())
        ports = {"read_address": In(address), "read_enable": In(1), "read_data": Out(shape.width)}
        if late:
            ports["move"] = In(1)
        if shape.writable:
            ports |= {"write_address": In(address), "write_data": In(shape.width), "write_enable": In(1)}
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape = self._shape
        bounds = [low for low, _ in shape.columns] + [shape.width]
        words: list[ValueLike] = []
        constant: list[tuple[FilledMemory, int]] = []
        for number, ((low, high), (_, depth)) in enumerate(zip(pairwise(bounds), shape.columns, strict=True)):
            words.append(self._column(m, f"column{number}", low, high, depth, constant))
        self._hold(m, constant)
        m.d.comb += self.read_data.eq(Cat(*words))
        return m

    def _column(
        self, m: Module, name: str, low: int, high: int, depth: int, constant: list[tuple[FilledMemory, int]]
    ) -> ValueLike:
        """The bits `low` to `high` of every word, in blocks of `depth` words; `constant` gets those of one word."""
        mask = (1 << (high - low)) - 1
        offset_bits = (depth - 1).bit_length()
        blocks = []
        for number, first in enumerate(range(0, self._shape.depth, depth)):
            init = [(word >> low) & mask for word in self._init[first : first + depth]]
            block = FilledMemory(high - low, init, self._attributes())
            m.submodules[f"{name}_block{number}"] = block
            selected = self._shape.depth <= depth
            if self._shape.writable:
                write = block.write_port()
                here = 1 if selected else self.write_address[offset_bits:] == number
                m.d.comb += [
                    write.addr.eq(self.write_address[:offset_bits]),
                    write.data.eq(self.write_data[low:high]),
                    write.en.eq(self.write_enable & here),
                ]
                read = block.read_port(transparent_for=(write,) if self._transparent else ())
            else:
                if self._shape.style == "block" and len(set(init)) == 1 and not self._shape.exchangeable:
                    constant.append((block, init[0]))
                read = block.read_port()
            m.d.comb += [read.addr.eq(self.read_address[:offset_bits]), read.en.eq(self.read_enable)]
            blocks.append(read.data)
        if len(blocks) == 1:
            return self._registered(m, blocks, name, self._late)[0]
        block_index = Signal(range(len(blocks)), name=f"{name}_index")
        with m.If(self.read_enable):
            m.d.sync += block_index.eq(self.read_address[offset_bits:])
        if not self._late:
            return select_from(blocks, block_index)
        low = min(len(block_index), CHOSEN_EARLY)
        firsts = range(0, len(blocks), 1 << low)
        chosen = [select_from(blocks[first : first + (1 << low)], block_index) for first in firsts]
        *words, index = self._registered(m, [*chosen, block_index[low:]], name, 1)
        return self._registered(m, [select_from(words, Value.cast(index))], name, self._late - 1)[0]

    def _registered(self, m: Module, values: Sequence[ValueLike], name: str, times: int) -> Sequence[ValueLike]:
        """Values as they were so many of `move` before."""
        for _ in range(times):
            later = [Signal.like(Value.cast(value), name=f"{name}_late") for value in values]
            with m.If(self.move):
                m.d.sync += [register.eq(value) for register, value in zip(later, values, strict=True)]
            values = later
        return values

    def _hold(self, m: Module, blocks: Sequence[tuple[FilledMemory, int]]) -> None:
        """Keep blocks that hold the same word everywhere, of which synthesis would make constants.

        What is planned is built. (What is exchangeable is synthesised with contents of another kind.) A port writes
        another word, which it never does: its enable starts at 0 and stays there, but synthesis looks at no register's
        future.
        """
        if not blocks:
            return
        never = Signal(name="never")
        m.d.sync += never.eq(never & self.read_enable)
        for block, word in blocks:
            write = block.write_port()
            m.d.comb += [write.addr.eq(self.read_address), write.data.eq(~word), write.en.eq(never)]

    def _attributes(self) -> dict[str, str]:
        style = "registers" if self._shape.style == "logic" else self._shape.style
        return {"ram_style": style, "rom_style": style}
