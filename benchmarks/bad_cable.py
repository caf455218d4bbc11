"""What a bad cable does to samples on their way to a board and back: nothing, but for the time.

    python benchmarks/bad_cable.py BUILD SAMPLES.npz [--limit N] [--every 2000]

BUILD is a build folder, whose whole design is simulated behind a cable with one fault after the other, each on average
once in so many bytes, and at last with all. Each row is a run whose every spike, count, reading and class is compared
with the integer reference; the first that differs ends it. By hand: `spikeloom board BUILD --faults lost=2000`, and at
its port `spikeloom run BUILD --check`.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from spikeloom.boards.host.board import Board
from spikeloom.boards.host.facts import read_facts
from spikeloom.compiler.flow.board_pins import board_program
from spikeloom.compiler.flow.on_board import check_answers, sent
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.samples import read_samples
from spikeloom.compiler.names import CABLE_FAULTS
from spikeloom.compiler.output.build_folder import load_build_folder
from spikeloom.hdl.staging import scratch_folder
from spikeloom.sim.bad_cable import bad_cable
from spikeloom.sim.simulated_board import SimulatedBoard

PATIENCE = 1.0
"""Seconds of silence after which the host asks again."""

RARER = {"silent": 10, "pulled": 10}
"""What lasts comes so many times more rarely."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path, metavar="BUILD")
    parser.add_argument("samples", type=Path, metavar="SAMPLES.npz")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N samples only")
    parser.add_argument("--every", type=int, default=2000, metavar="BYTES")
    options = parser.parse_args()
    build = load_build_folder(options.build)
    facts, network = read_facts(build.path), read_nir(build.network_file)
    samples = read_samples(options.samples, network, coding=build.coding).first(options.limit)
    program, flash = board_program(build), None if facts.flash is None else build.path / facts.flash
    each = {name: options.every * RARER.get(name, 1) for name in CABLE_FAULTS}
    print(f"{build.path.name}: {len(samples)} samples at {facts.baud:,} baud")
    print("| Fault, once in bytes | Sent again | Values compared | Differences | Seconds |\n|---|---|---|---|---|")
    for faults in ({}, *({name: every} for name, every in each.items()), {n: 2 * every for n, every in each.items()}):
        with (
            scratch_folder() as folder,
            SimulatedBoard(program, flash) as board,
            bad_cable(folder / "port", board.port, faults) as cable,
            Board(cable.port, facts, patience=PATIENCE) as host,
        ):
            began = time.monotonic()
            answers = host.predict(sent(facts, samples), profile=True, alone=0)
            took = time.monotonic() - began
        compared = check_answers(network, facts, samples, answers)  # raises for the first difference
        assert answers.profile is not None
        told = ", ".join(f"{name} {every:,}" for name, every in faults.items()) or "none"
        print(f"| {told} | {answers.profile.repeated} | {compared:,} | 0 | {took:.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
