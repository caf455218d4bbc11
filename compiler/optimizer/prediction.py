"""What a planned design should cost, before any tool runs."""

from __future__ import annotations

from collections.abc import Mapping

from ...hdl.link import link_memories
from ...hdl.link_protocol import LinkFormat
from ...hdl.resources import Resources
from ...sim.recording import Recording, SpikeArray
from ..cycles import cycles_from_rates
from ..ir import INPUT, FloatArray, Network
from ..plan import Plan
from .candidate import Prediction
from .target import Target

Rates = Mapping[str, FloatArray]


def link_of(network: Network) -> LinkFormat:
    """The host link of a network's design."""
    return LinkFormat(inputs=network.input_size, outputs=network.size_of(network.output))


def whole_brams(plan: Plan) -> int:
    """Block RAMs of the core and its host link, exactly."""
    return plan.brams + sum(shape.brams for shape in link_memories(link_of(plan.network), plan.family).values())


def rates_of(spikes: SpikeArray, recording: Recording) -> dict[str, FloatArray]:
    """Mean events per step of the input and of every population on samples [samples, steps, inputs]."""
    sources = {INPUT: spikes} | {name: recorded.spikes for name, recorded in recording.populations.items()}
    return {name: array.mean(axis=(0, 1)) for name, array in sources.items()}


def predicted(plan: Plan, target: Target, rates: Rates | None, steps: int) -> Prediction:
    """The cost of a plan's design, and its cycles per sample of `steps` steps where rates are known."""
    cycles = None if rates is None else cycles_from_rates(plan, rates, steps)
    return Prediction(resources=Resources(brams=whole_brams(plan)), cycles=cycles)
