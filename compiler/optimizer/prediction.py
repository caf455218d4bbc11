"""What a planned design should cost, before any tool runs."""

from __future__ import annotations

import numpy as np

from ...hdl.link import word_layout
from ...hdl.link_protocol import LinkFormat
from ...hdl.memory import MemoryShape
from ...hdl.resources import Resources
from ...sim.recording import Recording, SpikeArray
from ..ir import INPUT, Network, Quantised
from ..plan import Plan
from .candidate import Prediction

PASS_CYCLES = 5
"""Cycles of a population's pass beyond its neurons."""


def link_of(network: Network) -> LinkFormat:
    """The host link of a network's design."""
    return LinkFormat(inputs=network.input_size, outputs=network.size_of(network.output))


def whole_brams(plan: Plan) -> int:
    """Block RAMs of the core and its host link, exactly."""
    link = link_of(plan.network)
    fifo = MemoryShape(plan.family, link.fifo_words, word_layout(link.inputs).size, writable=True)
    return plan.brams + fifo.brams


def predicted(plan: Plan, spikes: SpikeArray | None, recording: Recording | None) -> Prediction:
    """The design's cost, and its cycles on samples [samples, steps, inputs] whose `recording` is the reference's."""
    cycles = None if spikes is None or recording is None else _cycles(plan, spikes, recording)
    return Prediction(resources=Resources(brams=whole_brams(plan)), cycles=cycles)


def _cycles(plan: Plan, spikes: SpikeArray, recording: Recording) -> float:
    """Mean cycles per sample: the populations of one engine run in turn, engines side by side."""
    sources = {INPUT: spikes} | {name: recorded.spikes for name, recorded in recording.populations.items()}
    totals = [
        sum(_population_cycles(plan.network, name, sources) for name in engine.populations)
        for engine in plan.folding.engines
    ]
    return max(totals)


def _population_cycles(network: Network, name: str, sources: dict[str, SpikeArray]) -> float:
    cycles = sources[INPUT].shape[1] * (network.size_of(name) + PASS_CYCLES)
    for projection in network.projections_into(name):
        assert isinstance(projection.weights, Quantised)
        events = sources[projection.pre].sum(axis=(0, 1), dtype=np.int64) / len(sources[INPUT])
        cycles += float(events @ np.count_nonzero(projection.weights.codes, axis=1))
    return float(cycles)
