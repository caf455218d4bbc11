"""The on-chip decoders against what the reference makes of the same spikes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.sim import Simulator
from spikeloom.compiler.ir.readout import ReadBy, Readout
from spikeloom.hdl.images.decoders import ArgmaxDecoder, FirstSpikeDecoder, SpikeCollector, count_memory
from spikeloom.hdl.memories.memory import Family
from spikeloom.hdl.streams.tokens import TokenKind
from spikeloom.sim.recording import PopulationRecording, Recording

Token = tuple[TokenKind, int]


def winners(spikes: np.ndarray) -> np.ndarray:
    """What the reference predicts from output spikes [samples, steps, outputs]."""
    return Recording(output="o", populations={"o": PopulationRecording(spikes=spikes)}).predicted


def tokens_of(spikes: np.ndarray) -> list[Token]:
    """The tokens of samples [samples, steps, outputs]."""
    tokens: list[Token] = []
    for sample in spikes:
        for number, step in enumerate(sample):
            tokens += [(TokenKind.EVENT, int(output)) for output in np.flatnonzero(step)]
            is_last = number == len(sample) - 1
            tokens.append((TokenKind.END_OF_SAMPLE if is_last else TokenKind.END_OF_STEP, 0))
    return tokens


def passed(dut: Any, tokens: list[Token], ends: int, stalls: int | None) -> list[Token]:
    """What comes out until so many ends have."""
    seen: list[Token] = []

    async def writer(ctx: Any) -> None:
        rng = np.random.default_rng(stalls)
        for kind, address in tokens:
            while stalls is not None and rng.random() < 0.3:
                await ctx.tick()
            ctx.set(dut.i.payload, {"kind": kind, "address": address})
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)

    async def reader(ctx: Any) -> None:
        rng = np.random.default_rng(stalls)
        while sum(kind != TokenKind.EVENT for kind, _ in seen) < ends:
            ready = stalls is None or rng.random() < 0.4
            ctx.set(dut.o.ready, int(ready))
            _, _, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            if valid and ready:
                seen.append((TokenKind(payload.kind), payload.address))

    m = Module()
    m.submodules.dut = dut
    m.d.sync += Signal().eq(0)  # a collector has no clock of its own
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(writer, background=True)
    simulator.add_testbench(reader)
    simulator.run()
    return seen


def some_spikes(samples: int, steps: int, outputs: int) -> np.ndarray:
    """Random spikes at several rates, silence first and a storm last."""
    rng = np.random.default_rng(outputs)
    rates = np.linspace(0, 1, samples)[:, None, None]
    return (rng.random((samples, steps, outputs)) < rates).astype(np.uint8)


@pytest.mark.parametrize("stalls", [None, 1], ids=["full speed", "stalled"])
@pytest.mark.parametrize(("steps", "outputs"), [(1, 1), (1, 2), (4, 3), (7, 10), (8, 16)])
def test_the_winner_is_the_references(steps: int, outputs: int, stalls: int | None) -> None:
    spikes = some_spikes(5, steps, outputs)
    dut = ArgmaxDecoder(outputs, steps, Family.ICE40)
    seen = passed(dut, tokens_of(spikes), len(spikes), stalls)
    assert [kind for kind, _ in seen] == [TokenKind.EVENT, TokenKind.END_OF_SAMPLE] * len(spikes)
    assert [address for _, address in seen[::2]] == winners(spikes).tolist()


def test_of_several_winners_the_lowest_is_named() -> None:
    spikes = np.array([[[0, 1, 0, 1], [0, 1, 0, 1]], [[0, 0, 0, 0], [0, 0, 0, 0]], [[0, 0, 1, 0], [0, 1, 0, 0]]])
    assert winners(spikes.astype(np.uint8)).tolist() == [1, 0, 1]
    seen = passed(ArgmaxDecoder(4, 2, Family.ICE40), tokens_of(spikes), 3, None)
    assert [address for _, address in seen[::2]] == [1, 0, 1]


def test_an_aborted_sample_counts_for_nothing() -> None:
    spikes = some_spikes(2, 4, 3)[1:]
    tokens = [(TokenKind.EVENT, 0)] * 4 + [(TokenKind.ABORT, 0), *tokens_of(spikes)]
    seen = passed(ArgmaxDecoder(3, 4, Family.ICE40), tokens, 2, None)
    assert [kind for kind, _ in seen] == [TokenKind.ABORT, TokenKind.EVENT, TokenKind.END_OF_SAMPLE]
    assert seen[1][1] == winners(spikes)[0]


@pytest.mark.parametrize("stalls", [None, 1], ids=["full speed", "stalled"])
def test_collected_spikes_are_the_references_counts(stalls: int | None) -> None:
    spikes = some_spikes(3, 4, 5)
    seen = passed(SpikeCollector(5), tokens_of(spikes), len(spikes), stalls)
    assert TokenKind.END_OF_STEP not in [kind for kind, _ in seen]
    counts = np.zeros((len(spikes), 5), np.int64)
    sample = 0
    for kind, address in seen:
        if kind is TokenKind.EVENT:
            counts[sample, address] += 1
        else:
            sample += 1
    assert np.array_equal(counts, spikes.sum(axis=1))


def first_spikes(spikes: np.ndarray) -> list[int]:
    """The output that fires first in a sample [steps, outputs], of several in a step the lowest; 0 where none does."""
    return [next((int(np.flatnonzero(step)[0]) for step in sample if step.any()), 0) for sample in spikes]


@pytest.mark.parametrize("stalls", [None, 1], ids=["full speed", "stalled"])
@pytest.mark.parametrize(("steps", "outputs"), [(1, 1), (1, 2), (4, 3), (7, 10)])
def test_the_first_to_spike_is_named(steps: int, outputs: int, stalls: int | None) -> None:
    spikes = some_spikes(6, steps, outputs)
    spikes[3, : steps - 1] = 0  # late
    tokens: list[Token] = []
    for sample in spikes:  # the order of events inside a step is free
        inside = tokens_of(sample[None])
        kinds = [kind for kind, _ in inside]
        for number, step in enumerate(np.split(np.array([a for _, a in inside]), np.flatnonzero(
            [kind is not TokenKind.EVENT for kind in kinds]) + 1)[:-1]):  # fmt: skip
            tokens += [(TokenKind.EVENT, int(a)) for a in step[:-1][::-1]]
            tokens.append((TokenKind.END_OF_SAMPLE if number == steps - 1 else TokenKind.END_OF_STEP, 0))
    seen = passed(FirstSpikeDecoder(outputs), tokens, len(spikes), stalls)
    assert [kind for kind, _ in seen] == [TokenKind.EVENT, TokenKind.END_OF_SAMPLE] * len(spikes)
    readout = Readout(by=ReadBy.FIRST_SPIKE)
    recording = Recording(output="o", populations={"o": PopulationRecording(spikes=spikes)}, readout=readout)
    assert [address for _, address in seen[::2]] == first_spikes(spikes) == recording.predicted.tolist()


def test_the_first_spike_of_an_aborted_sample_is_forgotten() -> None:
    tokens = [(TokenKind.EVENT, 1), (TokenKind.END_OF_STEP, 0), (TokenKind.ABORT, 0)]
    spikes = np.array([[[0, 0, 1], [1, 0, 0]]], np.uint8)
    seen = passed(FirstSpikeDecoder(3), tokens + tokens_of(spikes), 2, None)
    assert [kind for kind, _ in seen] == [TokenKind.ABORT, TokenKind.EVENT, TokenKind.END_OF_SAMPLE]
    assert seen[1][1] == 2


def test_counts_are_as_wide_as_the_steps_need() -> None:
    assert count_memory(10, 25, Family.ICE40).width == 5
    assert count_memory(10, 25, Family.ICE40).brams == 1
    assert count_memory(10, 25, Family.ECP5).brams == 0
