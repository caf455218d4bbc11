"""What a memory returns beyond its last word, or of a word that is being written, means nothing to any engine.

That of engines in general is tested by whatever runs them with hostile memories (`test_sample_starts`, `test_fuzz`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth import Elaboratable, Module
from amaranth.lib.memory import Memory
from amaranth.sim import Simulator, SimulatorContext
from fuzz.check import check_hardware, folding_of, plan_of
from fuzz.hostile import HostileMemory, StrictMemory
from fuzz.oracle import Data
from golden import network_of
from spikeloom.sim.regress import regress
from spikeloom.sim.verilog_executor import core_in, emit_core

WORDS = [3, 14, 15, 92, 65]


def vector_case(neurons: int, neurons_per_cycle: int, events_per_beat: int = 1) -> Data:
    """A vector engine of so many neurons, some of which fire in every step."""
    rng = np.random.default_rng(neurons)
    inputs = 8
    samples = rng.integers(0, 2, (3, 4, inputs)).tolist()
    return {
        "family": "ecp5",
        "network": {
            "name": "vector",
            "input": {"size": inputs, "x_max": 1},
            "output": "p0",
            "populations": [
                {
                    "name": "p0",
                    "size": neurons,
                    "dynamics": "LIF",
                    "decay": {"c": 1, "k": 2, "rounding": "nearest"},
                    "decay_syn": None,
                    "drive": "new",
                    "fire": rng.integers(3, 9, neurons).tolist(),
                    "sub": 5,
                    "v_reset": 0,
                    "reset_mode": "subtract",
                    "reset": "next",
                    "state_bits": 8,
                    "bias": rng.integers(-1, 2, neurons).tolist(),
                }
            ],
            "projections": [
                {
                    "pre": "input",
                    "post": "p0",
                    "weights": rng.integers(-7, 8, (inputs, neurons)).tolist(),
                    "delay": 0,
                    "shift": 0,
                }
            ],
        },
        "folding": {
            "engines": [
                {
                    "populations": ["p0"],
                    "kind": "vector",
                    "lanes": 0,
                    "events_per_beat": events_per_beat,
                    "neurons_per_cycle": neurons_per_cycle,
                }
            ]
        },
        "stimulus": {
            "inputs": inputs,
            "before": [],
            "wait": 0,
            "runs": [{"steps": steps, "aborted": number == 1} for number, steps in enumerate(samples)],
            "pauses": 0,
            "stalls": 0.3,
            "seed": neurons_per_cycle,
        },
    }


@pytest.mark.parametrize("neurons_per_cycle", range(1, 11))
def test_a_vector_engine_reads_nothing_beyond_its_memories(neurons_per_cycle: int) -> None:
    """Passes of 10, 5, 4, 3, 2 words and of 1: powers of two and others."""
    case = vector_case(10, neurons_per_cycle, events_per_beat=1 + neurons_per_cycle % 2)
    check_hardware(case, plan_of(case), traced=True, memories=StrictMemory)


@pytest.mark.parametrize("neurons_per_cycle", [4, pytest.param(10, marks=pytest.mark.slow)])
def test_a_vector_engine_of_any_width_regresses(tmp_path: Path, neurons_per_cycle: int) -> None:
    """In Icarus, where a word beyond a memory is X."""
    case = vector_case(10, neurons_per_cycle)
    network, folding = network_of(case["network"]), folding_of(case)
    for traced in (True, False):
        emit_core(network, "ecp5", core_in(tmp_path, traced), folding)
    spikes = np.array([run["steps"] for run in case["stimulus"]["runs"]], np.uint8)
    result = regress(network, tmp_path, spikes, family="ecp5")
    assert (result.spikes_compared, result.membranes_compared) == (3 * 4 * 20, 3 * 4 * 10)


class Table(Elaboratable):
    """A memory of five words with a port that is transparent for writes, and one that is not."""

    def __init__(self, kind: type[Memory]) -> None:
        self.words = kind(shape=8, depth=len(WORDS), init=WORDS)
        self.write = self.words.write_port()
        self.seeing = self.words.read_port(transparent_for=(self.write,))
        self.blind = self.words.read_port()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.words = self.words
        return m


def read(table: Table, reads: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """What the two ports return to reads of `address`, one per cycle, beside the `write` of a word to it."""
    answers = []

    async def check(context: SimulatorContext) -> None:
        for item in reads:
            for port in (table.seeing, table.blind):
                context.set(port.addr, item["address"])
                context.set(port.en, 1)
            context.set(table.write.addr, item["address"])
            context.set(table.write.en, "write" in item)
            context.set(table.write.data, item.get("write", 0))
            await context.tick()
            answers.append((context.get(table.seeing.data), context.get(table.blind.data)))

    simulator = Simulator(table)
    simulator.add_clock(1e-6)
    simulator.add_testbench(check)
    simulator.run()
    return answers


def test_a_hostile_memory_is_hostile() -> None:
    reads: list[dict[str, Any]] = [{"address": address} for address in range(5)]
    assert read(Table(HostileMemory), reads) == [(word, word) for word in WORDS]
    assert len(set(read(Table(HostileMemory), [{"address": 6}] * 4))) == 4
    (seen, spoilt), after = read(Table(HostileMemory), [{"address": 2, "write": 77}, {"address": 2}])
    assert (seen, after) == (77, (77, 77))
    assert spoilt not in (15, 77)


def test_a_strict_memory_tells() -> None:
    assert read(Table(StrictMemory), [{"address": 4}]) == [(65, 65)]
    with pytest.raises(AssertionError, match="word 5 of 5 was read"):
        read(Table(StrictMemory), [{"address": 4}, {"address": 5}])
