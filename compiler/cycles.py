"""Clock cycles of a planned core, from the events that its populations send, without simulating hardware."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..hdl.core import EngineInstance
from .encode import row_lengths
from .fold import EngineFolding, sources_of
from .ir import INPUT, Network
from .plan import Plan

PASS_CYCLES = 5
"""Cycles of a pass beyond its neurons (see spikeloom.hdl.neurons.NeuronBank)."""

Spikes = Mapping[str, npt.NDArray[Any]]
"""Events [samples, steps, neurons] by population, and of the input under `INPUT`."""


def busy_cycles(plan: Plan, spikes: Spikes) -> list[npt.NDArray[np.int64]]:
    """Cycles [samples] in which each engine walks rows or passes over neurons, stalls apart."""
    return [
        _busy(plan.network, folding, engine, spikes)
        for folding, engine in zip(plan.folding.engines, plan.engines, strict=True)
    ]


def _busy(network: Network, folding: EngineFolding, engine: EngineInstance, spikes: Spikes) -> npt.NDArray[np.int64]:
    costs = np.maximum(1, row_lengths(engine.form.rows, engine.image.rows))
    steps = spikes[INPUT].shape[1]
    passes = sum(network.size_of(name) + PASS_CYCLES for name in folding.populations)
    cycles = np.full(len(spikes[INPUT]), steps * passes, np.int64)
    first = 0
    for name in row_sources(network, folding):
        counts = spikes[name].sum(axis=1, dtype=np.int64)
        cycles += counts @ costs[first : first + counts.shape[1]]
        first += counts.shape[1]
    return cycles


def row_sources(network: Network, folding: EngineFolding) -> tuple[str, ...]:
    """Whose events an engine's rows are for, in the rows' order: its own populations before the last, its sources."""
    return (*folding.populations[:-1], *sources_of(network, folding))
