"""The test bench in plain Verilog: it passes on the core that it came with, and fails on others."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from networks import chain, random_spikes
from spikeloom.boards.boards import BOARDS, find_board
from spikeloom.boards.clock import plan_clock
from spikeloom.boards.constraints import LPF, PCF, SDC, write_constraints
from spikeloom.boards.devices import find_device
from spikeloom.compiler.data.samples import Samples
from spikeloom.compiler.flow.compile import CompileOptions, compile_network
from spikeloom.compiler.flow.writing import write_bench, write_cores
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.plan.lean import Lean
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.compiler.report.datasheet import DATASHEET
from spikeloom.compiler.report.wording import number
from spikeloom.hdl.emit.axi import AXI
from spikeloom.hdl.emit.core_ports import TEMPLATE
from spikeloom.sim.plain_bench import BENCH, EXPECTED, TOKENS
from test_membrane_readout import integrating

STEPS = 4
FREQUENCY_50 = 'FREQUENCY PORT "clk" 50 MHZ;'


def ran(folder: Path) -> str:
    """What the bench says, in Icarus alone."""
    build = ["iverilog", "-g2001", "-Wall", "-o", "core_tb", BENCH, "core.v"]
    subprocess.run(build, cwd=folder, check=True, capture_output=True)
    run = subprocess.run(["vvp", "core_tb"], cwd=folder, check=True, capture_output=True, text=True)
    return next(line for line in run.stdout.splitlines() if line.startswith(("PASS", "FAIL")))


def written(folder: Path, network: Network, samples: int = 5) -> Path:
    plan = make_plan(network)
    (folder / "logs").mkdir()
    write_cores(plan, folder)
    spikes = random_spikes(3, network, samples=samples, steps=STEPS)
    write_bench(plan, Lean(network, network), Samples(spikes=spikes), folder)
    return folder


@pytest.mark.parametrize(
    "network",
    [
        replace(chain(6, (12, 9, 6), fire=14, sub=15), x_max=3),
        integrating(3, (6, 5, 4), "membrane-max"),
        integrating(3, (6, 5, 40), "membrane-last"),
        integrating(3, (6, 5, 3), "membranes"),
    ],
    ids=["spikes", "membrane-max", "membrane-last", "membranes"],
)
def test_the_core_passes_and_another_expectation_fails(tmp_path: Path, network: Network) -> None:
    folder = written(tmp_path, network)
    assert ran(folder) == f"PASS: 5 samples of {STEPS} steps"
    expected = (folder / EXPECTED).read_text().splitlines()
    outputs = network.size_of(network.output)
    place = 2 * (STEPS * outputs + 1) + (STEPS - 1) * outputs + 1
    expected[place] = f"{int(expected[place], 16) ^ 1:0{len(expected[place])}x}"
    (folder / EXPECTED).write_text("\n".join(expected) + "\n")
    assert ran(folder).startswith(f"FAIL: sample 2, step {STEPS - 1}, output 1: expected ")


def test_a_core_that_stops_or_answers_otherwise_fails(tmp_path: Path) -> None:
    network = chain(6, (12, 9, 6), fire=14, sub=15)
    folder = written(tmp_path, network)
    tokens = (folder / TOKENS).read_text().splitlines()
    (folder / TOKENS).write_text("\n".join([*tokens[:-1], tokens[0]]) + "\n")
    assert ran(folder) == f"FAIL: sample 4, step {STEPS - 1}: the core is silent"


def test_compiling_to_verilog_brings_what_an_engineer_needs(tmp_path: Path) -> None:
    network = replace(chain(6, (12, 9, 6), fire=14, sub=15), name="a|b<i>")
    spikes = random_spikes(3, network, samples=12, steps=STEPS)
    options = CompileOptions(board="ulx3s-25f", verilog_only=True)
    build = compile_network(network, tmp_path / "build", options, samples=Samples(spikes=spikes))
    files = {BENCH, TOKENS, EXPECTED, TEMPLATE, AXI, DATASHEET, "core.sdc", "core.lpf"}
    assert files <= build.manifest["outputs"].keys() and not (build.path / "core.pcf").exists()
    assert ran(build.path) == f"PASS: 10 samples of {STEPS} steps"
    text = (build.path / TEMPLATE).read_text()
    assert "wire [5:0] i_payload;" in text and "wire [4:0] o_payload;" in text
    ports = f"wire clk, rst;\n{text}"
    (build.path / "use.v").write_text(f"module use_core;\n{ports}\nendmodule\n")
    command = ["iverilog", "-g2001", "-Wall", "-o", "use", "use.v", AXI, "core.v"]
    subprocess.run(command, cwd=build.path, check=True, capture_output=True)
    assert "-period 40.000 [get_ports clk]" in (build.path / "core.sdc").read_text()
    page = (build.path / DATASHEET).read_text()
    assert page.startswith("# a\\|b&lt;i&gt; on ULX3S 25F\n")
    for words in ("| i\\_\\_payload | in | 6 |", "| s_axis_tdata | in | 8 |", "## Memory map", "| input | p0 |"):
        assert words in page
    assert number(build.report()["latency"]["cycles_per_sample"]) + " cycles, " in page


@pytest.mark.parametrize(
    ("target", "clock_mhz", "file", "lines"),
    [
        ("icebreaker", None, PCF, ["set_io clk 35", "set_frequency clk 12"]),
        ("upduino", None, PCF, ["set_frequency clk 12"]),
        ("ulx3s-25f", None, LPF, ['LOCATE COMP "clk" SITE "G2";', 'FREQUENCY PORT "clk" 25 MHZ;']),
        ("ecpix5-45f", None, LPF, ["# The board's own clock of 100 MHz is at pin K23: make clk of it.", FREQUENCY_50]),
        ("hx1k", 48, PCF, ["set_frequency clk 48"]),
    ],
)
def test_constraints_name_the_clock_and_its_pin(
    tmp_path: Path, target: str, clock_mhz: float | None, file: str, lines: list[str]
) -> None:
    found = find_board(target) if target in BOARDS else find_device(target)
    clock = plan_clock(found, None if clock_mhz is None else clock_mhz * 1e6)
    write_constraints(tmp_path, found, clock)
    assert (tmp_path / file).read_text().splitlines()[1:] == lines
    assert f"-period {1e9 / clock.hz:.3f} " in (tmp_path / SDC).read_text()
