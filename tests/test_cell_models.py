"""Our models of ECP5 block RAM against the Verilog that yosys maps to it, at every width of a port."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from spikeloom.hdl.emit.emit import cells_sim, netlist_from_rtlil, to_rtlil, verilog_from_rtlil

BENCH = """
`timescale 1ns/1ps
module bench;
    reg clk = 0, rst = 0, reading, writing;
    reg [{address}:0] read_address, write_address;
    reg [{data}:0] write_data;
    wire [{data}:0] read_data;
    integer step, seed = 1;
    always #5 clk = !clk;
    top top(
        .clk(clk), .rst(rst), .reading(reading), .writing(writing), .read_address(read_address),
        .write_address(write_address), .write_data(write_data), .read_data(read_data)
    );
    initial begin
        for (step = 0; step < 1500; step = step + 1) begin
            @(negedge clk) if (step > 1) $display("%h", read_data);
            read_address = $random(seed);
            write_address = $random(seed);
            if (write_address == read_address) write_address = write_address ^ 1;
            reading = step == 0 || $random(seed);
            writing = $random(seed);
            write_data = {{$random(seed), $random(seed)}};
        end
        $finish;
    end
endmodule
"""


class OneMemory(wiring.Component):
    """A block RAM with a read port and a write port."""

    read_address: Signal
    write_address: Signal
    reading: Signal
    writing: Signal
    write_data: Signal
    read_data: Signal

    def __init__(self, width: int, depth: int) -> None:
        address = (depth - 1).bit_length()
        init = np.random.default_rng(width).integers(0, 1 << width, depth).tolist()
        self._memory = Memory(shape=width, depth=depth, init=init, attrs={"ram_style": "block"})
        super().__init__(
            {
                "read_address": In(address),
                "write_address": In(address),
                "reading": In(1),
                "writing": In(1),
                "write_data": In(width),
                "read_data": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = self._memory
        read, write = self._memory.read_port(), self._memory.write_port()
        m.d.comb += [read.addr.eq(self.read_address), read.en.eq(self.reading), self.read_data.eq(read.data)]
        m.d.comb += [write.addr.eq(self.write_address), write.en.eq(self.writing), write.data.eq(self.write_data)]
        return m


def simulated(folder: Path, sources: list[Path]) -> str:
    program = folder / "bench"
    files = [str(file) for file in [folder / "bench.v", *sources]]
    subprocess.run(["iverilog", "-g2012", "-s", "bench", "-o", str(program), *files], check=True)
    return subprocess.run(["vvp", "-n", str(program)], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("width", "depth"),
    [
        pytest.param(1, 16384, marks=pytest.mark.slow),
        pytest.param(2, 8192, marks=pytest.mark.slow),
        (4, 4096),
        pytest.param(9, 2048, marks=pytest.mark.slow),
        pytest.param(18, 1024, marks=pytest.mark.slow),
        (36, 512),
    ],
)
def test_ecp5_block_ram_behaves_as_its_verilog(tmp_path: Path, width: int, depth: int) -> None:
    il, verilog, netlist = (tmp_path / name for name in ("memory.il", "memory.v", "netlist.v"))
    il.write_text(to_rtlil(OneMemory(width, depth), "top"), encoding="utf-8")
    verilog_from_rtlil(il, verilog, tmp_path / "log")
    netlist_from_rtlil(il, netlist, "ecp5", "top", tmp_path / "log")
    text = netlist.read_text(encoding="utf-8")
    assert text.count("DP16KD #(") == 1
    assert f".DATA_WIDTH_B(32'd{width})" in text
    bench = BENCH.format(address=(depth - 1).bit_length() - 1, data=width - 1)
    (tmp_path / "bench.v").write_text(bench, encoding="utf-8")
    expected = simulated(tmp_path, [verilog])
    assert expected.count("\n") > 1000
    assert "x" not in expected
    assert simulated(tmp_path, [netlist, *cells_sim("ecp5").sources]) == expected
