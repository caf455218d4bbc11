"""Read-only memories with two read ports: true dual-port block RAM holds the words once for two reads per cycle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .filled import FilledMemory
from .memory import Family, MemoryShape

DUAL_PORT_SHAPES: dict[Family, tuple[tuple[int, int], ...]] = {
    Family.ICE40: (),
    Family.ECP5: ((1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
}
"""(depth, width) of one block RAM in each mode with two ports that both read; iCE40 has none."""


@dataclass(frozen=True)
class DualPortShape(MemoryShape):
    """How `depth` words of `width` bits lie in dual-port blocks: side by side, each as deep as the memory.

    Raises ValueError for a family without such blocks, and for more words than the deepest block has.
    """

    def __post_init__(self) -> None:
        deepest = max((depth for depth, _ in DUAL_PORT_SHAPES[self.family]), default=0)
        if not deepest:
            raise ValueError(f"{self.family.value} has no block RAM with two read ports; use one port")
        if self.writable or not 1 <= self.depth <= deepest:
            raise ValueError(f"a dual-port memory is read-only and has 1 to {deepest} words: got {self.depth}")

    @cached_property
    def style(self) -> str:
        return "block"

    @cached_property
    def columns(self) -> tuple[tuple[int, int], ...]:
        depth, width = next(shape for shape in DUAL_PORT_SHAPES[self.family] if shape[0] >= self.depth)
        return tuple((low, depth) for low in range(0, self.width, width))


class DualPortMemory(wiring.Component):
    """Two synchronous read ports with one enable over a read-only memory.

    ==================== === ==========================================================
    Port                 Dir Meaning
    ==================== === ==========================================================
    address0, address1   in  words to read
    enable               in  start both reads; the data stay until the next ones
    data0, data1         out the words, one cycle after `enable`
    ==================== === ==========================================================

    Latency one cycle, throughput two reads per cycle.
    """

    address0: Signal
    address1: Signal
    enable: Signal
    data0: Signal
    data1: Signal

    def __init__(self, shape: DualPortShape, init: Sequence[int]) -> None:
        if len(init) > shape.depth:
            raise ValueError(f"a memory of {shape.depth} words cannot hold {len(init)}")
        self._shape = shape
        self._init = tuple(init) + (0,) * (shape.depth - len(init))
        address = max(1, (shape.depth - 1).bit_length())
        ports: dict[str, In | Out] = {"enable": In(1)}
        for port in range(2):
            ports |= {f"address{port}": In(address), f"data{port}": Out(shape.width)}
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape = self._shape
        starts = [low for low, _ in shape.columns]
        words: tuple[list[Signal], list[Signal]] = ([], [])
        for number, (low, high) in enumerate(zip(starts, [*starts[1:], shape.width], strict=True)):
            init = [(word >> low) & ((1 << (high - low)) - 1) for word in self._init]
            attributes = {"ram_style": "block", "rom_style": "block"}
            column = FilledMemory(high - low, init, attributes)
            m.submodules[f"column{number}"] = column
            for port, data in enumerate(words):
                read = column.read_port()
                m.d.comb += [read.addr.eq(getattr(self, f"address{port}")), read.en.eq(self.enable)]
                data.append(read.data)
        m.d.comb += [self.data0.eq(Cat(*words[0])), self.data1.eq(Cat(*words[1]))]
        return m
