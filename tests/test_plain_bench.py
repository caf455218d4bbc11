"""The test bench in plain Verilog: it passes on the core that it came with, and fails on others."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from networks import chain, random_spikes
from spikeloom.compiler.data.samples import Samples
from spikeloom.compiler.flow.compile import CompileOptions, compile_network
from spikeloom.compiler.flow.writing import write_bench, write_cores
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.plan.lean import Lean
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.sim.plain_bench import BENCH, EXPECTED, TEMPLATE, TOKENS
from test_membrane_readout import integrating

STEPS = 4


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


def test_compiling_to_verilog_brings_template_and_bench(tmp_path: Path) -> None:
    network = chain(6, (12, 9, 6), fire=14, sub=15)
    spikes = random_spikes(3, network, samples=12, steps=STEPS)
    options = CompileOptions(verilog_only=True)
    build = compile_network(network, tmp_path / "build", options, samples=Samples(spikes=spikes))
    assert {BENCH, TOKENS, EXPECTED, TEMPLATE} <= build.manifest["outputs"].keys()
    assert ran(build.path) == f"PASS: 10 samples of {STEPS} steps"
    text = (build.path / TEMPLATE).read_text()
    assert "wire [5:0] i_payload;" in text and "wire [4:0] o_payload;" in text
    ports = f"wire clk, rst;\n{text}"
    (build.path / "use.v").write_text(f"module use_core;\n{ports}\nendmodule\n")
    command = ["iverilog", "-g2001", "-o", "use", "use.v", "core.v"]
    subprocess.run(command, cwd=build.path, check=True, capture_output=True)
