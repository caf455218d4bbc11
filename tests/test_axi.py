"""The AXI4-Stream wrapper against the reference, while both sides pause, and what a careless sender may do."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import chain, random_spikes
from spikeloom.compiler.flow.writing import core_ports, write_bench
from spikeloom.compiler.plan.folding import EngineKind, Folding, engine_folding
from spikeloom.compiler.plan.lean import Lean
from spikeloom.compiler.plan.plan import Plan, make_plan
from spikeloom.compiler.report.datasheet import silent_time
from spikeloom.hdl.emit.axi import AXI, AXI_TOP, stream_bits
from spikeloom.hdl.emit.emit import device_cells_sim, to_rtlil, verilog_from_rtlil
from spikeloom.hdl.streams.tokens import TokenKind, address_bits
from spikeloom.sim.cocotb_runner import Bench, run_bench
from spikeloom.sim.readout import readings
from spikeloom.sim.reference import run_reference
from spikeloom.sim.stimulus import make_stimulus
from test_membrane_readout import integrating

STEPS = 4
EVENT, END_OF_STEP, END_OF_SAMPLE, ABORT = (kind.value for kind in TokenKind)
Words = list[tuple[int, bool]]


class Wrapped:
    """A core and its wrapper in a folder."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan, self.network = folder, plan, plan.network
        folder.mkdir()
        (folder / "core.il").write_text(to_rtlil(plan.core(), "spikeloom_core"))
        verilog_from_rtlil(folder / "core.il", folder / "core.v", folder / "core.log")
        write_bench(plan, Lean(self.network, self.network), None, folder)

    def run(self, words: Words, packets: int, stall: float) -> dict[str, Any]:
        """What comes out of the wrapper until `packets` have."""
        work = self.folder / f"run{len(list(self.folder.glob('run*')))}"
        work.mkdir()
        shutil.copyfile(Path(__file__).with_name("axi_bench.py"), work / "axi_bench.py")
        payloads = np.array([word for word, _ in words], dtype=np.int64)
        lasts = np.array([last for _, last in words], dtype=np.int64)
        np.savez(work / "job.npz", words=payloads, lasts=lasts, stall=stall, packets=packets)
        sources = [self.folder / AXI, self.folder / "core.v", *device_cells_sim(self.plan.family)]
        bench = Bench(sources=sources, top=AXI_TOP, module="axi_bench")
        run_bench(bench, work, simulator="icarus", outcome="outcome.json")
        outcome: dict[str, Any] = json.loads((work / "outcome.json").read_text())
        assert outcome["faults"] == []
        return outcome

    def counts(self, got: list[list[int]], samples: int, steps: int = STEPS) -> np.ndarray:
        """Output spikes [samples, steps, outputs], or the readings."""
        outputs, readout = self.network.size_of(self.network.output), self.plan.readout
        found, step, sample = np.zeros((samples, steps, outputs), np.int64), 0, 0
        width, address = stream_bits(core_ports(self.plan).output_bits), address_bits(outputs)
        for word, last in got:
            kind, place = word & 3, word >> 2 & ((1 << address) - 1)
            assert last == (kind in (END_OF_SAMPLE, ABORT))
            if kind == EVENT and readout is None:
                found[sample, step, place] += 1
            elif kind == EVENT:
                found[sample, step, place] = (word - (word >> (width - 1) << width)) >> (2 + address)
            else:
                assert (kind == END_OF_SAMPLE) == (step == steps - 1)
                step, sample = (0, sample + 1) if last else (step + 1, sample)
        return found


def packets_of(plan: Plan, spikes: np.ndarray, *, ends: bool) -> Words:
    """Samples as packets; with `ends` their last word says so itself, else it is an end of step, or an event."""
    stimulus = make_stimulus(spikes, stress=3, beats=plan.beats)
    words = [(int(word), (int(word) & 3) == END_OF_SAMPLE) for word in stimulus.payloads]
    if ends:
        return words
    told: Words = []
    for word, last in words:
        if last and told and told[-1][0] & 3 == EVENT:
            told[-1] = (told[-1][0], True)
        else:
            told.append((END_OF_STEP if last else word, last))
    return told


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Wrapped:
    network = replace(chain(6, (12, 9, 6), fire=14, sub=15), x_max=3)
    return Wrapped(tmp_path_factory.mktemp("axi") / "counting", make_plan(network))


@pytest.mark.parametrize(("stall", "ends"), [(0.0, True), (0.6, False)])
def test_packets_give_the_references_spikes_however_both_sides_pause(
    counting: Wrapped, stall: float, ends: bool
) -> None:
    spikes = random_spikes(3, counting.network, samples=5, steps=STEPS)
    outcome = counting.run(packets_of(counting.plan, spikes, ends=ends), 5, stall)
    np.testing.assert_array_equal(counting.counts(outcome["got"], 5), run_reference(counting.network, spikes).spikes)
    assert not outcome["address_error"]


def test_readings_come_with_their_sign(tmp_path: Path) -> None:
    network = integrating(3, (6, 5, 4), "membranes")
    wrapped = Wrapped(tmp_path / "readings", make_plan(network))
    spikes = random_spikes(3, network, samples=4, steps=STEPS)
    outcome = wrapped.run(packets_of(wrapped.plan, spikes, ends=False), 4, 0.4)
    membranes = run_reference(network, spikes, membranes=True).membranes
    assert wrapped.plan.readout is not None and membranes is not None
    wanted, _ = readings(wrapped.plan.readout, membranes)
    assert wanted.min() < 0
    np.testing.assert_array_equal(wrapped.counts(outcome["got"], 4), wanted)


@pytest.mark.slow
def test_a_wide_input_brings_beats(tmp_path: Path) -> None:
    network = chain(6, (12, 8, 6), fire=14, sub=15)
    first = engine_folding(("p0",), kind=EngineKind.VECTOR, lanes=0, events_per_beat=2)
    plan = make_plan(network, "ecp5", Folding(engines=(first, engine_folding(("p1",))), wide=True))
    wrapped = Wrapped(tmp_path / "wide", plan)
    spikes = random_spikes(3, network, samples=3, steps=STEPS)
    outcome = wrapped.run(packets_of(plan, spikes, ends=False), 3, 0.4)
    np.testing.assert_array_equal(wrapped.counts(outcome["got"], 3), run_reference(network, spikes).spikes)


def test_an_abort_leaves_nothing_and_strange_addresses_are_dropped_and_told(counting: Wrapped) -> None:
    """Of 12 inputs the addresses 12 to 15 fit the payload and more fit the transfer; one of them ends a packet."""
    spikes = random_spikes(4, counting.network, samples=2, steps=STEPS)
    words = packets_of(counting.plan, spikes, ends=True)
    aborted = [*words[: len(words) // 3], (ABORT, True)]
    strange = [(12 << 2, False), (63 << 2, False), *words[:-1], (END_OF_STEP, False), (15 << 2, True)]
    outcome = counting.run([*aborted, *strange], 3, 0.4)
    assert outcome["address_error"] == 1
    got = outcome["got"]
    first, *ends = [place for place, (_, last) in enumerate(got) if last]
    assert got[first] == [ABORT, 1] and len(ends) == 2
    longer = np.concatenate([spikes[1], np.zeros_like(spikes[1, :1])])
    for start, end, steps in zip((first, ends[0]), ends, (spikes[0], longer), strict=True):
        wanted = run_reference(counting.network, steps[None]).spikes
        np.testing.assert_array_equal(counting.counts(got[start + 1 : end + 1], 1, len(steps)), wanted)


def test_a_width_is_a_power_of_two_of_bytes() -> None:
    assert [stream_bits(bits) for bits in (1, 8, 9, 16, 17, 33, 64, 65)] == [8, 8, 16, 16, 32, 64, 64, 128]


def test_a_silent_sample_takes_what_the_data_sheet_says(counting: Wrapped) -> None:
    from spikeloom.sim.amaranth_executor import measure_cycles

    silent = silent_time(counting.plan)
    quiet = np.zeros((1, 13, 12), np.uint8)
    assert not run_reference(counting.network, quiet).trains(quiet)["p1"].any()
    assert measure_cycles(counting.plan, quiet, None) == [silent.start + 13 * silent.per_step]
