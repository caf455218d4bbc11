"""One case through the reference and the hardware, against the oracle."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from golden import network_of
from spikeloom.compiler.encodings.room import Room
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.plan.folding import Folding, input_beats, read_folding
from spikeloom.compiler.plan.layout import exchange, with_spare_bits
from spikeloom.compiler.plan.monitors import monitors_of
from spikeloom.compiler.plan.plan import Plan, make_plan
from spikeloom.sim.reference import run_reference
from spikeloom.sim.regress import regress_core
from spikeloom.sim.verilog_executor import core_in, emit_core

from .hostile import HostileMemory, hostile_memories
from .machine import Beat, Beats, Expected, Readings, Said, Step, expected_of, listen
from .oracle import Data, run_sample


def plan_of(case: Data) -> Plan:
    """The hardware of a case, where it has headroom as exchanged for itself. Raises ModelError, CapacityError."""
    network, headroom, folding = network_of(case["network"]), case.get("headroom"), folding_of(case)
    if headroom is None or not all(engine.has_room for engine in folding.engines):
        return make_plan(network, case["family"], folding)
    laid = make_plan(with_spare_bits(network, Room(headroom).bits), case["family"], folding, headroom=headroom)
    return exchange(laid, network)


def folding_of(case: Data) -> Folding:
    """A case's folding, read as a user's file is."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(case["folding"], file)
        file.flush()
        return read_folding(Path(file.name))


def check_reference(network: Data, samples: list[list[list[int]]]) -> None:
    """The integer reference equals the oracle on samples [sample][step][input], one by one."""
    built = network_of(network)
    for number, steps in enumerate(samples):
        got = run_reference(built, np.array([steps], np.int64).astype(np.uint8), membranes=True)
        for name, trace in run_sample(network, steps).items():
            recorded = got.populations[name]
            assert recorded.membranes is not None
            where = f"reference, sample {number}, population {name}"
            assert recorded.spikes[0].tolist() == trace.spikes, f"{where}: spikes"
            assert recorded.membranes[0].tolist() == trace.membranes, f"{where}: membranes"


def check_hardware(case: Data, plan: Plan, *, traced: bool, memories: type[HostileMemory] = HostileMemory) -> None:
    """The traced or the shipped core equals the oracle, with hostile memories."""
    readings = readings_of(plan)
    expected = expected_of(case["network"], case["stimulus"], _monitors(plan) if traced else [], readings)
    with hostile_memories(memories):
        core = plan.core(trace=traced)
        said = listen(core, expected, case["stimulus"], patience(plan.network), beats_of(plan), readings)
    difference = first_difference(expected, _in_turn(said, plan) if traced else said)
    assert difference is None, f"{'traced' if traced else 'shipped'} core: {difference}"


def check_case(case: Data) -> None:
    """Everything that costs little: the reference, and the case's core in Amaranth's simulator."""
    check_reference(case["network"], [run["steps"] for run in case["stimulus"]["runs"]])
    check_hardware(case, plan_of(case), traced=case["traced"])


def check_verilog(case: Data, *, simulator: str = "icarus", level: str = "rtl") -> None:
    """The case's core as Verilog or as a netlist equals the reference; its samples are equally long and whole."""
    plan = plan_of(case)
    network, traced, family = plan.network, case["traced"], case["family"]
    samples = np.array([run["steps"] for run in case["stimulus"]["runs"]], np.int64).astype(np.uint8)
    expected = run_reference(network, samples, membranes=True)
    stress = case["stimulus"]["seed"]
    with tempfile.TemporaryDirectory() as folder:
        emit_core(network, family, core_in(Path(folder), traced), plan.folding)
        regress_core(
            network,
            Path(folder),
            samples,
            expected,
            traced=traced,
            family=family,
            simulator=simulator,
            level=level,
            stress=stress,
        )


def patience(network: Network) -> int:
    """Cycles that a working core may be silent: every event of a step and all that follow it, and the passes."""
    synapses = sum(network.size_of(p.pre) * (network.size_of(p.post) + 30) for p in network.projections)
    return 2 * network.largest_value * synapses + 8 * sum(p.size * p.max_spikes for p in network.populations) + 200


def beats_of(plan: Plan) -> Beats | None:
    """What a wide input takes; None where tokens come."""
    shape = input_beats(plan.network, plan.folding, plan.family)
    return Beats(shape.slots, shape.banks, shape.row_bits) if shape.slots > 1 else None


def readings_of(plan: Plan) -> Readings | None:
    """What the output says in place of spikes; None where it says these."""
    form = plan.readout
    if form is None:
        return None
    bits = max(1, (form.outputs - 1).bit_length())
    return Readings(form.kind.value, bits, form.value_bits, form.names_class)


def _monitors(plan: Plan) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    names = [population.name for population in plan.network.populations]
    return [(names[m.population], m.numbers, m.neurons) for m in monitors_of(plan.network, plan.folding)]


def _in_turn(said: Said, plan: Plan) -> Said:
    """The same beats, in each pass in turn where monitors promise no order (their numbers rise)."""
    monitors = monitors_of(plan.network, plan.folding)
    pairs = zip(said.beats, monitors, strict=True)
    return replace(said, beats=[own if m.in_turn else _sorted(own, len(m.numbers)) for own, m in pairs])


def _sorted(beats: list[Beat], count: int) -> list[Beat]:
    """Beats in order, in every pass of so many."""
    return [beat for first in range(0, len(beats), count) for beat in sorted(beats[first : first + count])]


def first_difference(expected: Expected, said: Said) -> str | None:
    """Where a core said something else first; None where it did not."""
    pairs: list[tuple[str, Any, Any]] = [("step", expected.steps, said.steps)]
    pairs += [(f"monitor {n}, beat", *both) for n, both in enumerate(zip(expected.beats, said.beats, strict=True))]
    for what, due, got in pairs:
        place = _differs(due, got)
        if place is not None:
            a, b = (items[place] if place < len(items) else "nothing" for items in (due, got))
            return f"{what} {place}: expected {a}, got {b}"
    return "input tokens were never taken" if said.hung else None


def _differs(expected: list[Step] | list[Beat], got: list[Step] | list[Beat]) -> int | None:
    if expected == got:
        return None
    same = (number for number, pair in enumerate(zip(expected, got, strict=False)) if pair[0] != pair[1])
    return next(same, min(len(expected), len(got)))
