"""Memories are shaped to real blocks, and read back what was written."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from amaranth import Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from spikeloom.hdl.emit.emit import netlist_from_rtlil, to_rtlil
from spikeloom.hdl.emit.synthesis import block_map, synthesis_passes
from spikeloom.hdl.emit.tools import find_tool, run_tool
from spikeloom.hdl.memories.filled import FilledMemory
from spikeloom.hdl.memories.memory import BLOCK_SHAPES, Family, MemoryShape, ShapedMemory


@pytest.mark.parametrize(
    ("depth", "width", "brams"),
    [(2444, 10, 7), (256, 16, 1), (257, 16, 2), (512, 8, 1), (1024, 4, 1), (2048, 2, 1), (784, 17, 5), (128, 17, 2)],
)
def test_ice40_columns_take_the_fewest_blocks(depth: int, width: int, brams: int) -> None:
    assert MemoryShape(Family.ICE40, depth, width).brams == brams


@pytest.mark.parametrize(("depth", "width", "brams"), [(512, 36, 1), (512, 37, 2), (1024, 18, 1), (2444, 10, 3)])
def test_ecp5_columns_take_the_fewest_blocks(depth: int, width: int, brams: int) -> None:
    assert MemoryShape(Family.ECP5, depth, width).brams == brams


@pytest.mark.parametrize("family", list(Family))
def test_columns_cover_the_width_with_whole_blocks(family: Family) -> None:
    rng = random.Random(1)
    for _ in range(200):
        shape = MemoryShape(family, rng.randint(100, 6000), rng.randint(1, 70), writable=True)
        widths = dict(BLOCK_SHAPES[family])
        covered = 0
        for low, depth in shape.columns:
            assert low == covered
            covered += widths[depth]
        assert covered >= shape.width


def test_small_memories_take_no_block() -> None:
    assert MemoryShape(Family.ICE40, 10, 16).style == "logic"
    assert MemoryShape(Family.ICE40, 10, 16, writable=True).style == "block"
    assert MemoryShape(Family.ECP5, 10, 16, writable=True).style == "distributed"
    assert MemoryShape(Family.ECP5, 10, 16, writable=True).brams == 0


@pytest.mark.parametrize("family", list(Family))
def test_blocks_of_one_word_are_built_as_planned(family: Family, tmp_path: Path) -> None:
    """All zeros, all ones, another word everywhere, a single word: synthesis would make constants of them."""
    block, width = BLOCK_SHAPES[family][0]
    words = [0] * block + [(1 << width) - 1] * block + [5] * block + [*range(1, block + 1)] + [3]
    shape = MemoryShape(family, len(words), width)
    (tmp_path / "top.il").write_text(to_rtlil(ShapedMemory(shape, words), "top"))
    netlist_from_rtlil(tmp_path / "top.il", tmp_path / "top.v", family, "top", tmp_path / "log")
    cells = (tmp_path / "top.v").read_text()
    built = len(re.findall(r"^  (SB_RAM40_4K\w*|DP16KD|PDPW16KD) #", cells, re.MULTILINE))
    assert built == shape.brams >= 5


@pytest.mark.parametrize("width", [2, *(pytest.param(width, marks=pytest.mark.slow) for width in (4, 8, 16))])
def test_block_rams_are_mapped_as_yosys_does(width: int, tmp_path: Path) -> None:
    """By a map of our own, which takes no second for each."""
    depth = 4096 // width
    words = [random.Random(1).getrandbits(width) for _ in range(depth)]
    found = []
    for name, mine in (("ours", True), ("theirs", False)):
        (tmp_path / "top.il").write_text(to_rtlil(ShapedMemory(MemoryShape(Family.ICE40, depth, width), words), "top"))
        passes = synthesis_passes(Family.ICE40, "top")[:-1]
        if not mine:
            passes = [command for command in passes if "techmap -map ice40_brams_map.v" not in command]
        script = ["read_rtlil top.il", *passes, "select top", f"write_json -selected {name}.json"]
        with block_map(tmp_path, Family.ICE40):
            run_tool([*find_tool("yosys"), "-q", "-p", "; ".join(script)], cwd=tmp_path, log=tmp_path / "log")
        cells = json.loads((tmp_path / f"{name}.json").read_text())["modules"]["top"]["cells"].values()
        found.append([(cell["type"], cell["parameters"], cell["connections"]) for cell in cells])
    assert found[0] == found[1]
    assert "SB_RAM40_4K" in {type_ for type_, _, _ in found[0]}
    assert not (tmp_path / "ice40_brams_map.v").exists()


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_too_many_words_are_refused() -> None:
    with pytest.raises(ValueError, match="a memory of 2 words cannot hold 3"):
        ShapedMemory(MemoryShape(Family.ICE40, 2, 4), [1, 2, 3])


@pytest.mark.parametrize(("depth", "width"), [(1, 1), (10, 3), (600, 10), (2100, 13)])
def test_read_only_words(depth: int, width: int) -> None:
    rng = random.Random(depth)
    words = [rng.getrandbits(width) for _ in range(depth)]
    dut = ShapedMemory(MemoryShape(Family.ICE40, depth, width), words)

    async def check(ctx) -> None:  # type: ignore[no-untyped-def]
        ctx.set(dut.read_enable, 1)
        for address in rng.choices(range(depth), k=100):
            ctx.set(dut.read_address, address)
            await ctx.tick()
            assert ctx.get(dut.read_data) == words[address]
        ctx.set(dut.read_enable, 0)
        kept = ctx.get(dut.read_data)
        ctx.set(dut.read_address, 0)
        await ctx.tick()
        assert ctx.get(dut.read_data) == kept

    _simulate(dut, check)


@pytest.mark.parametrize("depth", [5, 600])
def test_a_read_sees_the_word_being_written(depth: int) -> None:
    rng = random.Random(depth)
    dut = ShapedMemory(MemoryShape(Family.ICE40, depth, 12, writable=True))
    model = [0] * depth

    async def check(ctx) -> None:  # type: ignore[no-untyped-def]
        for _ in range(300):
            write, read = rng.randrange(depth), rng.randrange(depth)
            if rng.random() < 0.5:
                read = write
            value, enable = rng.getrandbits(12), rng.random() < 0.7
            ctx.set(dut.write_address, write)
            ctx.set(dut.write_data, value)
            ctx.set(dut.write_enable, enable)
            ctx.set(dut.read_address, read)
            ctx.set(dut.read_enable, 1)
            await ctx.tick()
            if enable:
                model[write] = value
            assert ctx.get(dut.read_data) == model[read]

    _simulate(dut, check)


def _simulate(dut, testbench) -> None:  # type: ignore[no-untyped-def]
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize(("depth", "width"), [(2, 1), (5, 1), (8, 3), (300, 4), (7, 36), (1, 5)])
def test_words_reach_the_text_as_amaranth_writes_them(depth: int, width: int) -> None:
    """Of memories with their words, of those without, and of two of one name in different modules."""

    class Two(wiring.Component):
        def __init__(self, filled: bool) -> None:
            super().__init__({"enable": In(1), "first": Out(width), "second": Out(width), "third": Out(4)})
            self._filled = filled

        def elaborate(self, platform: object) -> Module:
            m = Module()
            for number, data in enumerate((self.first, self.second)):
                rng = random.Random(number)
                words, style = [rng.getrandbits(width) for _ in range(depth)], {"ram_style": "block"}
                inner = Module()
                if self._filled:
                    block = FilledMemory(width, words, style)
                else:
                    block = memory.Memory(shape=width, depth=depth, init=words, attrs=style)
                inner.submodules.words = block
                read = block.read_port()
                inner.d.comb += [read.en.eq(self.enable), data.eq(read.data)]
                m.submodules[f"half{number}"] = inner
            m.submodules.words = other = memory.Memory(shape=4, depth=3, init=[1, 2])
            m.d.comb += self.third.eq(other.read_port().data)
            return m

    assert to_rtlil(Two(True), "two") == to_rtlil(Two(False), "two")
