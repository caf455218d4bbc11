"""The on-chip decoders against what the reference makes of the same spikes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.sim import Simulator
from spikeloom.hdl.images.decoders import ArgmaxDecoder, SpikeCollector, count_memory
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


def passed(dut: ArgmaxDecoder | SpikeCollector, tokens: list[Token], ends: int, stalls: int | None) -> list[Token]:
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


def test_counts_are_as_wide_as_the_steps_need() -> None:
    assert count_memory(10, 25, Family.ICE40).width == 5
    assert count_memory(10, 25, Family.ICE40).brams == 1
    assert count_memory(10, 25, Family.ECP5).brams == 0
