"""Memories in the single-port RAMs of the iCE40 UltraPlus: large, unknown at start, and therefore loaded before use.

An SPRAM holds 16384 words of 16 bits and writes any of their four nibbles alone; here it also serves as 32768 words of
8 bits or 65536 of 4, several to a 16-bit word. What is loaded are whole 16-bit words (`SpramShape.pack`), so that the
loader knows nothing of a memory's shape. Source: Lattice FPGA-TN-02022 (iCE40 SPRAM usage guide).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from amaranth import Cat, ClockSignal, Const, Instance, Module, Mux, Signal
from amaranth.hdl import ValueLike
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .memory import BLOCK_LUTS, _best_columns, select_from

SPRAM_DEPTH = 16384
SPRAM_WIDTH = 16
SPRAM_SHAPES = ((16384, 16), (32768, 8), (65536, 4))
"""(depth, width) of one SPRAM, by how many words lie in each of its 16-bit words."""

MAX_SPRAMS = 4
"""What an iCE40UP5K has."""


@dataclass(frozen=True)
class SpramShape:
    """How `depth` words of `width` bits lie in SPRAMs, which are numbered through the columns and their banks."""

    depth: int
    width: int

    brams = 0
    style = "spram"

    @cached_property
    def columns(self) -> tuple[tuple[int, int], ...]:
        """(first bit, depth of a bank) of each column, low bits first, with the fewest SPRAMs in all."""
        columns, low = [], 0
        shapes = _best_columns(SPRAM_SHAPES, self.depth, self.width, BLOCK_LUTS)[-1]
        for depth, width in sorted(shapes, key=lambda shape: -shape[1]):
            columns.append((low, depth))
            low += width
        return tuple(columns)

    @cached_property
    def spram(self) -> int:
        """SPRAMs used."""
        return sum(-(-self.depth // depth) for _, depth in self.columns)

    @property
    def luts(self) -> int:
        """About how many look-up tables: none that matter beside the memory."""
        return 0

    @property
    def bits(self) -> int:
        """Bits of the words themselves."""
        return self.depth * self.width

    @property
    def fields(self) -> tuple[tuple[int, int, int], ...]:
        """(first bit, end, depth of a bank) of each column."""
        bounds = [low for low, _ in self.columns] + [self.width]
        return tuple((low, high, depth) for (low, high), (_, depth) in zip(pairwise(bounds), self.columns, strict=True))

    def pack(self, words: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """The 16-bit words of each SPRAM that hold `words`, as long as they need to be."""
        if len(words) > self.depth:
            raise ValueError(f"a memory of {self.depth} words cannot hold {len(words)}")
        banks = []
        for low, high, depth in self.fields:
            mask = (1 << (high - low)) - 1
            for first in range(0, self.depth, depth):
                banks.append(_pack([word >> low & mask for word in words[first : first + depth]], depth // SPRAM_DEPTH))
        return tuple(banks)


def _pack(words: Sequence[int], parts: int) -> tuple[int, ...]:
    width = SPRAM_WIDTH // parts
    groups = (words[start : start + parts] for start in range(0, len(words), parts))
    return tuple(sum(word << width * place for place, word in enumerate(group)) for group in groups)


def load_signature() -> wiring.Signature:
    """How SPRAMs are loaded, from the loader's side: one 16-bit word per cycle of `valid`.

    `block` is the number of the SPRAM in the design, `address` the word in it.
    """
    return wiring.Signature({"valid": Out(1), "block": Out(2), "address": Out(14), "data": Out(SPRAM_WIDTH)})


class Spram(wiring.Component):
    """One SPRAM with one port, for a read or a write of a whole word in each cycle of `enable`.

    That its output stays between reads was checked on hardware (github.com/YosysHQ/yosys, pull request 1773).

    Elaborated for no platform, as the simulator does, it is a behavioural model, which starts with `contents` and
    rubbish behind them.

    ======== === ===================================================
    Port     Dir Meaning
    ======== === ===================================================
    address  in  the word
    enable   in  read, or write; else `read_data` stays as it is
    write    in  write `write_data`; `read_data` is then unknown
    ======== === ===================================================

    Latency one cycle.
    """

    address: Signal
    enable: Signal
    write: Signal
    write_data: Signal
    read_data: Signal

    def __init__(self, contents: Sequence[int] = ()) -> None:
        self._contents = contents
        super().__init__(
            {
                "address": In(14),
                "enable": In(1),
                "write": In(1),
                "write_data": In(SPRAM_WIDTH),
                "read_data": Out(SPRAM_WIDTH),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if platform is None:
            self._model(m)
            return m
        m.submodules.spram = Instance(
            "SB_SPRAM256KA",
            i_CLOCK=ClockSignal(),
            i_ADDRESS=self.address,
            i_CHIPSELECT=self.enable,
            i_WREN=self.write,
            i_MASKWREN=Const(0b1111, 4),
            i_DATAIN=self.write_data,
            o_DATAOUT=self.read_data,
            i_STANDBY=Const(0),
            i_SLEEP=Const(0),
            i_POWEROFF=Const(1),  # active low
        )
        return m

    def _model(self, m: Module) -> None:
        rubbish = [(0xBAD1 * number ^ number >> 3) & 0xFFFF for number in range(SPRAM_DEPTH)]
        init = [*self._contents, *rubbish[len(self._contents) :]]
        m.submodules.words = words = memory.Memory(shape=SPRAM_WIDTH, depth=SPRAM_DEPTH, init=init)
        read, write = words.read_port(), words.write_port()
        m.d.comb += [
            read.addr.eq(self.address),
            read.en.eq(self.enable & ~self.write),
            write.addr.eq(self.address),
            write.en.eq(self.enable & self.write),
            write.data.eq(self.write_data),
            self.read_data.eq(read.data),
        ]


class SpramMemory(wiring.Component):
    """A memory in SPRAMs with the read port of `ShapedMemory`, for the SPRAMs from number `first` on.

    Hardware must be loaded before it is read; `loaded` are words that the simulator's model starts with, as if it were.

    ============ === ===========================================================================
    Port         Dir Meaning
    ============ === ===========================================================================
    read_address in  word to read
    read_enable  in  start a read; the data stay until the next one or until something is loaded
    read_data    out the word, one cycle after `read_enable`
    load         in  16-bit words for any SPRAM of the design; never in a cycle of `read_enable`
    ============ === ===========================================================================

    Latency one cycle, throughput one read per cycle.
    """

    read_address: Signal
    read_enable: Signal
    read_data: Signal
    load: Any

    def __init__(self, shape: SpramShape, first: int = 0, loaded: Sequence[int] = ()) -> None:
        if first + shape.spram > MAX_SPRAMS:
            raise ValueError(f"a design has at most {MAX_SPRAMS} SPRAMs: this memory would take number {first} and up")
        self._shape = shape
        self._first = first
        self._contents = shape.pack(loaded)
        super().__init__(
            {
                "read_address": In(max(1, (shape.depth - 1).bit_length())),
                "read_enable": In(1),
                "read_data": Out(shape.width),
                "load": In(load_signature()),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        columns, number = [], self._first
        for low, high, depth in self._shape.fields:
            banks = -(-self._shape.depth // depth)
            columns.append(self._column(m, range(number, number + banks), high - low, depth))
            number += banks
        m.d.comb += self.read_data.eq(Cat(*columns))
        return m

    def _column(self, m: Module, numbers: range, width: int, depth: int) -> ValueLike:
        """Some bits of every word, in SPRAMs of `depth` words each."""
        parts = depth // SPRAM_DEPTH
        part_bits = (parts - 1).bit_length()
        place = self.read_address[part_bits:]
        offset, bank = place[:14], place[14:]
        choices: list[ValueLike] = []
        for index, number in enumerate(numbers):
            m.submodules[f"spram{number}"] = spram = Spram(self._contents[number - self._first])
            here = 1 if len(numbers) == 1 else bank == index
            m.d.comb += [
                spram.write.eq(self.load.valid & (self.load.block == number)),
                spram.enable.eq(spram.write | (self.read_enable & here)),
                spram.address.eq(Mux(self.load.valid, self.load.address, offset)),
                spram.write_data.eq(self.load.data),
            ]
            choices += [spram.read_data.word_select(part, SPRAM_WIDTH // parts)[:width] for part in range(parts)]
        if len(choices) == 1:
            return choices[0]
        selected = Signal(range(len(choices)), name=f"selected{numbers[0]}")
        with m.If(self.read_enable):
            m.d.sync += selected.eq(Cat(self.read_address[:part_bits], bank))
        return select_from(choices, selected)
