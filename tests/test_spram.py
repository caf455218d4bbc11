"""Memories in SPRAM: their shapes, and the words read back by the simulator's model, the Verilog and the netlist."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from amaranth.sim import Simulator
from spikeloom.hdl.emit.emit import cells_sim, device_cells_sim, netlist_from_rtlil, to_rtlil, verilog_from_rtlil
from spikeloom.hdl.memories.spram import SPRAM_SHAPES, SpramMemory, SpramShape


@pytest.mark.parametrize(
    ("depth", "width", "spram"),
    [
        *[(16384, 16, 1), (32768, 8, 1), (65536, 4, 1), (16385, 16, 2), (32769, 8, 2), (131072, 8, 4)],
        *[(19200, 8, 1), (16384, 10, 1), (19200, 10, 2), (60000, 10, 3), (60000, 12, 3), (16384, 17, 2), (1, 1, 1)],
    ],
)
def test_columns_take_the_fewest_srams(depth: int, width: int, spram: int) -> None:
    shape = SpramShape(depth, width)
    assert shape.spram == spram
    assert shape.brams == 0
    assert len(shape.pack([0] * depth)) == spram


def test_columns_cover_the_width_with_whole_srams() -> None:
    rng = random.Random(1)
    widths = dict(SPRAM_SHAPES)
    for _ in range(200):
        shape = SpramShape(rng.randint(1, 70000), rng.randint(1, 40))
        covered = 0
        for low, depth in shape.columns:
            assert low == covered
            covered += widths[depth]
        assert covered >= shape.width


def test_packed_words_are_as_many_as_needed() -> None:
    assert SpramShape(20000, 8).pack([0x11, 0x22, 0x33, 0x44, 0x55]) == ((0x2211, 0x4433, 0x0055),)
    assert SpramShape(70000, 4).pack([1, 2, 3] * 23333 + [1]) == (
        tuple([0x1321, 0x2132, 0x3213] * 5461 + [0x1321]),
        tuple([0x2132, 0x3213, 0x1321] * 372),
    )


def test_too_many_words_are_refused() -> None:
    with pytest.raises(ValueError, match="a memory of 2 words cannot hold 3"):
        SpramShape(2, 4).pack([1, 2, 3])


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_too_many_srams_are_refused() -> None:
    with pytest.raises(ValueError, match="a design has at most 4 SPRAMs: this memory would take number 3 and up"):
        SpramMemory(SpramShape(60000, 8), first=3)


def loads_for(shape: SpramShape, words: list[int], first: int, addresses: list[int]) -> list[tuple[int, int, int]]:
    """(block, address, data) of the 16-bit words in which the words at some addresses lie."""
    loads = []
    packed = shape.pack(words)
    block = 0
    for _, _, depth in shape.fields:
        parts = depth // 16384
        banks = -(-shape.depth // depth)
        places = {(address // depth, address % depth // parts) for address in addresses}
        loads += [(first + block + bank, place, packed[block + bank][place]) for bank, place in sorted(places)]
        block += banks
    return loads


@pytest.mark.parametrize(
    ("depth", "width", "first"), [(100, 3, 0), (40000, 8, 1), (40000, 12, 0), (20000, 16, 2), (70000, 4, 0), (3, 33, 0)]
)
def test_words_are_read_back(depth: int, width: int, first: int) -> None:
    rng = random.Random(depth)
    shape = SpramShape(depth, width)
    words = [rng.getrandbits(width) for _ in range(depth)]
    addresses = [0, depth - 1, *rng.choices(range(depth), k=100)]
    dut = SpramMemory(shape, first)

    async def check(ctx) -> None:  # type: ignore[no-untyped-def]
        ctx.set(dut.load.valid, 1)
        for block, address, data in loads_for(shape, words, first, addresses):
            ctx.set(dut.load.block, block)
            ctx.set(dut.load.address, address)
            ctx.set(dut.load.data, data)
            await ctx.tick()
        ctx.set(dut.load.valid, 0)
        for address in addresses:
            ctx.set(dut.read_address, address)
            ctx.set(dut.read_enable, 1)
            await ctx.tick()
            assert ctx.get(dut.read_data) == words[address]
            ctx.set(dut.read_enable, 0)
            ctx.set(dut.read_address, rng.randrange(depth))
            await ctx.tick()
            assert ctx.get(dut.read_data) == words[address], "the data stay without a read"

    simulate(dut, check)


def test_a_simulation_may_start_with_loaded_words() -> None:
    words = [number * 7 % 256 for number in range(20000)]
    dut = SpramMemory(SpramShape(20000, 8), loaded=words)

    async def check(ctx) -> None:  # type: ignore[no-untyped-def]
        ctx.set(dut.read_enable, 1)
        for address in range(0, 20000, 501):
            ctx.set(dut.read_address, address)
            await ctx.tick()
            assert ctx.get(dut.read_data) == words[address]

    simulate(dut, check)


def test_nothing_is_known_before_it_is_loaded() -> None:
    dut = SpramMemory(SpramShape(1000, 16))

    async def check(ctx) -> None:  # type: ignore[no-untyped-def]
        ctx.set(dut.read_enable, 1)
        found = set()
        for address in range(100):
            ctx.set(dut.read_address, address)
            await ctx.tick()
            found.add(ctx.get(dut.read_data))
        assert len(found) > 90

    simulate(dut, check)


def simulate(dut: SpramMemory, check: object) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(check)
    simulator.run()


BENCH = """
`timescale 1ns/1ps
module bench;
    reg clk = 0, rst = 0, valid = 0, enable = 0;
    reg [1:0] block;
    reg [13:0] place;
    reg [15:0] data;
    reg [{address}:0] address;
    wire [{data}:0] read_data;
    always #5 clk = !clk;
    top top(
        .clk(clk), .rst(rst), .load__valid(valid), .load__block(block), .load__address(place), .load__data(data),
        .read_address(address), .read_enable(enable), .read_data(read_data)
    );
    initial begin
{steps}
        $finish;
    end
endmodule
"""


@pytest.mark.parametrize(("depth", "width"), [(40000, 11)])
def test_verilog_and_netlist_read_the_same(tmp_path: Path, depth: int, width: int) -> None:
    rng = random.Random(width)
    shape = SpramShape(depth, width)
    words = [rng.getrandbits(width) for _ in range(depth)]
    addresses = rng.choices(range(depth), k=60)
    steps = [
        f"@(negedge clk) valid = 1; block = {block}; place = {address}; data = {data};"
        for block, address, data in loads_for(shape, words, 0, addresses)
    ]
    for address in addresses:
        steps.append(f"@(negedge clk) valid = 0; enable = 1; address = {address};")
        steps.append(f'@(negedge clk) enable = 0; address = {rng.randrange(depth)}; $display("%d", read_data);')
        steps.append('@(negedge clk) $display("%d", read_data);')
    bench = BENCH.format(address=(depth - 1).bit_length() - 1, data=width - 1, steps="\n".join(steps))
    (tmp_path / "bench.v").write_text(bench, encoding="utf-8")
    il, verilog, netlist = (tmp_path / name for name in ("memory.il", "memory.v", "netlist.v"))
    il.write_text(to_rtlil(SpramMemory(shape), "top"), encoding="utf-8")
    verilog_from_rtlil(il, verilog, tmp_path / "log")
    netlist_from_rtlil(il, netlist, "ice40", "top", tmp_path / "log")
    assert netlist.read_text(encoding="utf-8").count("SB_SPRAM256KA ") == shape.spram
    expected = [words[address] for address in addresses for _ in range(2)]
    assert simulated(tmp_path, [verilog, *device_cells_sim("ice40")]) == expected
    cells = cells_sim("ice40")
    assert simulated(tmp_path, [netlist, *cells.sources], cells.defines) == expected


def simulated(folder: Path, sources: list[Path], defines: tuple[str, ...] = ()) -> list[int]:
    program = folder / "bench"
    files = [str(file) for file in [folder / "bench.v", *sources]]
    options = [f"-D{define}" for define in defines]
    subprocess.run(["iverilog", "-g2012", *options, "-s", "bench", "-o", str(program), *files], check=True)
    output = subprocess.run(["vvp", "-n", str(program)], check=True, capture_output=True, text=True).stdout
    return [int(line) for line in output.splitlines() if line.strip().isdigit()]
