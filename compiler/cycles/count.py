"""Clock cycles of a planned core, from the events that its populations send, without simulating hardware."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.core import CORE_INPUT
from ..ir.arrays import SpikesByPopulation
from ..ir.network import INPUT
from ..plan.plan import Plan, engine_orders
from ..plan.weights import EngineWeights
from .engine_cycles import EngineCycles
from .model import count_core_cycles, engine_cycles, engine_models
from .tokens import END_OF_SAMPLE, END_OF_STEP, EVENT, Token

ENOUGH_CYCLES = 10_000
"""Of this many cycles the mean is good enough."""

GOLDEN = (5**0.5 - 1) / 2
"""The fractional parts of its multiples lie evenly."""

Counts = Callable[[str, int], npt.NDArray[Any]]
"""The events [..., neurons] of a population, or of the input, that are due in a sample after a delay in steps."""

Rates = Mapping[str, npt.NDArray[np.float64] | float]
"""Mean events per step of each neuron, or one figure for all of them, by population, and of the input under `INPUT`."""


def count_cycles(plan: Plan, spikes: SpikesByPopulation) -> list[int]:
    """The clock cycles that each sample takes alone on the core: from its first token in to its END_OF_SAMPLE out.

    Exactly those of the hardware when input and output never wait, the clearing after a reset included (before it
    engines take no event, or only the first). Python needs about 2 microseconds per cycle.
    """
    models = engine_models(plan)
    samples = range(len(spikes[INPUT]))
    return [_count(plan, models, {name: trains[n] for name, trains in spikes.items()}) for n in samples]


def cycles_from_rates(plan: Plan, rates: Rates, steps: int) -> float:
    """The cycles of a sample of `steps` steps, where only firing rates are known.

    `rates` are mean events per step, of each neuron or one figure for a whole population. Spike trains that have these
    rates are put through the same model as for `count_cycles`: as many steps as take a moment, and the others cost what
    the last of these cost.
    """
    means = {name: np.broadcast_to(rates[name], plan.network.size_of(name)) for name in (INPUT, *plan.populations)}
    models = engine_models(plan)

    def count(length: int) -> int:
        return _count(plan, models, {name: _even_trains(mean, length) for name, mean in means.items()})

    before, fewer = 0, 0
    length = 1
    cycles = count(1)
    while length < steps and (length == 1 or cycles < ENOUGH_CYCLES):
        before, fewer = length, cycles
        length = min(steps, 2 * length)
        cycles = count(length)
    return cycles + (steps - length) * (cycles - fewer) / (length - before)


def _even_trains(means: npt.NDArray[np.float64], steps: int) -> npt.NDArray[np.int64]:
    """Events [steps, neurons] spread as evenly as they can be: a step's differ from their mean by less than one."""
    ends = np.concatenate([[0.0], np.cumsum(means)])
    shifts = (np.arange(1, steps + 1) * GOLDEN) % 1
    return np.diff(np.floor(ends + shifts[:, None]), axis=1).astype(np.int64)


def _count(plan: Plan, models: Sequence[EngineCycles], spikes: Mapping[str, npt.NDArray[Any]]) -> int:
    """One sample: events [steps, neurons]."""
    trains = [np.concatenate([spikes[name] for name in engine.populations], axis=1) for engine in plan.folding.engines]
    tokens = _beats(plan, models, spikes[INPUT]) if plan.folding.wide else _tokens(spikes[INPUT])
    return count_core_cycles(plan, models, list(tokens), trains)


def _tokens(events: npt.NDArray[Any]) -> Iterator[Token]:
    """A sample as the core receives it: a value above 1 is that many events."""
    for number, counts in enumerate(events):
        for address in np.repeat(np.arange(len(counts)), counts).tolist():
            yield EVENT, address
        yield END_OF_STEP if number < len(events) - 1 else END_OF_SAMPLE, 0


def _beats(plan: Plan, models: Sequence[EngineCycles], events: npt.NDArray[Any]) -> Iterator[Token]:
    """A sample as a core with a wide input receives it."""
    (model,) = (model for model, engine in zip(models, plan.engines, strict=True) if CORE_INPUT in engine.sources)
    for number, count in enumerate(model.beats(events).tolist()):
        yield from [(EVENT, 0)] * count
        yield END_OF_STEP if number < len(events) - 1 else END_OF_SAMPLE, 0


def busy_cycles(plan: Plan, spikes: SpikesByPopulation) -> list[npt.NDArray[np.float64]]:
    """Cycles [samples] in which each engine walks rows or passes over neurons, stalls apart; of its busiest lane."""
    steps = spikes[INPUT].shape[1]

    def counts(name: str, delay: int) -> npt.NDArray[Any]:
        return np.asarray(spikes[name][:, : max(0, steps - delay)].sum(axis=1, dtype=np.int64))

    return _busy(plan, counts, steps)


def busy_from_rates(plan: Plan, rates: Rates, steps: int) -> list[float]:
    """The same in a sample of `steps` steps, the mean, where only firing rates are known."""
    means = {name: np.broadcast_to(rates[name], plan.network.size_of(name)) for name in (INPUT, *plan.populations)}
    return [float(b) for b in _busy(plan, lambda name, delay: means[name] * max(0, steps - delay), steps)]


def _busy(plan: Plan, counts: Counts, steps: int) -> list[npt.NDArray[np.float64]]:
    """Of each engine, with these events."""
    return [
        cycles.busy(row_events(plan, number, counts), steps, wide=plan.folding.wide and CORE_INPUT in engine.sources)
        for number, (cycles, engine) in enumerate(zip(engine_cycles(plan), plan.engines, strict=True))
    ]


def row_events(plan: Plan, engine: int, counts: Counts) -> npt.NDArray[Any]:
    """Events [..., rows] of each row of an engine, from those of the populations and the input."""
    network, folding = plan.network, plan.folding.engines[engine]
    orders = engine_orders(network, plan.folding)
    weights = EngineWeights(folding.heard(network), orders)

    def ordered(name: str, delay: int) -> npt.NDArray[Any]:
        found = counts(name, delay)
        return found if (order := orders.get(name)) is None else found[..., order]

    parts = [ordered(name, 0) for name in (*weights.heard.own, *weights.sources)]
    for late in weights.late:
        due = {
            delay: np.concatenate([ordered(name, delay) for name in late.pres], axis=-1)
            for delay in sorted({delay for delays in late.delays for delay in delays})
        }
        taps = [due[delay][..., neuron] for neuron, delays in enumerate(late.delays) for delay in delays]
        parts.append(np.stack(taps, axis=-1))
    return np.concatenate(parts, axis=-1)
