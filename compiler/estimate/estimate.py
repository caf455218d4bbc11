"""What a planned design should cost and how fast it should be, in well under a second and without any tool.

Block RAMs and SPRAMs are exact. Look-up tables, flip-flops and cells are the design's parts as their structure has them
(`parts`) times factors that were measured on random networks (benchmarks/fit_estimates.py); so is Fmax, which
depends on the placement's luck besides. Cycles are exact for spike trains (`cycles`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.core import CORE_INPUT
from ...hdl.link.protocol import LinkFormat
from ...hdl.memories.memory import Family, MemoryShape
from ...hdl.resources import Resources
from ...hdl.streams.tokens import address_bits
from ..cycles.count import Counts, Rates, count_cycles, cycles_from_rates, row_events
from ..cycles.model import has_model
from ..ir.arrays import SpikesByPopulation
from ..ir.network import INPUT
from ..plan.host_link import memory_needs
from ..plan.plan import Plan
from .engine_estimate import Work
from .engines import engine_estimates
from .parts import (
    COMPARE,
    Parts,
    delay_parts,
    flash_parts,
    link_parts,
    memory_parts,
    queue_parts,
    spram_parts,
)
from .readout import readout_link_parts, readout_parts

COEFFICIENTS = "coefficients.json"

DEVICES_WITH_DSP = ("up5k", "u4k")
"""iCE40s with multipliers; every ECP5 has some."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a design should cost. `cycles` per sample, their mean, and `work` are None where no activity is known, and
    `cycles` of engines that skip passes, of which there is no model. `guessed` are the parts of the design of which
    nothing was measured: of these look-up tables, flip-flops and cells are a first guess."""

    resources: Resources
    fmax_mhz: float
    cycles: float | None = None
    work: Work | None = None
    guessed: tuple[str, ...] = ()


def estimate(
    plan: Plan,
    *,
    device: str | None = None,
    link: LinkFormat | None = None,
    spikes: SpikesByPopulation | None = None,
    rates: Rates | None = None,
    steps: int = 1,
    factors: Mapping[str, Any] | None = None,
) -> Estimate:
    """The estimate of a plan's core, or of the whole design where it has a host link.

    `device` is an id of `spikeloom boards`, by default the one on which the factors were measured. Cycles and work come
    from `spikes` [samples, steps, neurons], exact, or from `rates` (`cycles_from_rates`) over `steps`. `factors` are
    others than the package's.
    """
    factors = factors or _factors()[plan.family.value]
    parts = parts_of(plan, link)
    known = memory_needs(plan, link) + Resources(dsps=_dsps(plan, device))
    amounts = {"luts": _amount(factors["luts"], parts.luts), "ffs": _amount(factors["ffs"], parts.ffs)}
    logic = Resources(**{name: round(value) for name, value in amounts.items()})
    resources = known + replace(logic, lcs=round(_amount(factors["lcs"], cell_amounts(logic, parts))))
    cycles, work = None, None
    if spikes is not None:
        cycles = float(np.mean(count_cycles(plan, spikes))) if has_model(plan) else None
        steps = spikes[INPUT].shape[1]
        work = _work(plan, lambda name, delay: _mean(spikes[name][:, : max(0, steps - delay)]), steps)
    elif rates is not None:
        cycles = cycles_from_rates(plan, rates, steps) if has_model(plan) else None
        means = {n: np.broadcast_to(rates[n], plan.network.size_of(n)) for n in (INPUT, *plan.populations)}
        work = _work(plan, lambda name, delay: means[name] * max(0, steps - delay), steps)
    fmax_mhz = _fmax(factors, parts, amounts["luts"], device)
    guessed = guessed_parts(factors, parts)
    return Estimate(resources=resources, fmax_mhz=fmax_mhz, cycles=cycles, work=work, guessed=guessed)


@cache
def _factors() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(files(__package__).joinpath(COEFFICIENTS).read_text(encoding="utf-8"))
    return data


# ----------------------------------------------------------------------------------------------- cost and speed


def _amount(factors: Mapping[str, float], parts: Mapping[str, float]) -> float:
    """The parts times their factors; a part that none of the measured networks had counts as it is."""
    return sum(count * factors.get(part, 1.0) for part, count in parts.items())


def guessed_parts(factors: Mapping[str, Any], parts: Parts) -> tuple[str, ...]:
    """The parts that have no measured factor, or one below 0, which is no price."""
    found = {part for part in parts.luts if factors["luts"].get(part, -1.0) < 0}
    return tuple(sorted(found | {part for part in parts.ffs if factors["ffs"].get(part, -1.0) < 0}))


def cell_amounts(logic: Resources, parts: Parts) -> dict[str, float]:
    """What logic cells are for: look-up tables, flip-flops that share none with them, carries, distributed RAMs."""
    return {"luts": logic.luts, "ffs": logic.ffs, "carries": parts.carries, "rams": parts.rams}


def path_amounts(parts: Parts, luts: float, delays: Mapping[str, float]) -> dict[str, float]:
    """What the clock's period is made of: the path that is the longest by these `delays`, and wires, which grow longer
    with the design: with its look-up tables, and with how far apart its block RAMs are."""
    paths = [{kind: 1.0, "level": levels, "carry": carries} for kind, levels, carries in sorted(parts.paths)]
    wires = {"kiloluts": luts / 1000, "spread": math.sqrt(parts.blocks)}
    return {"constant": 1.0} | wires | max(paths, key=lambda path: _amount(delays, path))


def _fmax(factors: Mapping[str, Any], parts: Parts, luts: float, device: str | None) -> float:
    """In MHz."""
    delays = factors["period_ns"]
    period = _amount(delays, path_amounts(parts, luts, delays))
    slower = next((factor for prefix, factor in factors["slower"].items() if (device or "").startswith(prefix)), 1.0)
    return round(1000 / (period * slower), 2)


def _dsps(plan: Plan, device: str | None) -> int:
    """Multipliers."""
    if plan.family is Family.ICE40 and device not in DEVICES_WITH_DSP:
        return 0
    return sum(engine.multipliers(plan.family) for engine in engine_estimates(plan))


def microseconds(cycles: float, bears_mhz: float, most_mhz: float) -> float:
    """Of so many cycles, at the fastest clock that a design bears and that its target can make."""
    return cycles / min(bears_mhz, most_mhz)


# ---------------------------------------------------------------------------------------------------------- work


def _mean(trains: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Mean events per sample of each neuron."""
    return np.asarray(trains.sum(axis=1).mean(axis=0))


def _work(plan: Plan, counts: Counts, steps: int) -> Work:
    """From mean events per sample of each neuron."""
    works = [
        engine.work(row_events(plan, number, counts), steps) for number, engine in enumerate(engine_estimates(plan))
    ]
    return Work(**{f.name: sum(getattr(work, f.name) for work in works) for f in fields(Work)})


# --------------------------------------------------------------------------------------------------------- parts


def parts_of(plan: Plan, link: LinkFormat | None = None) -> Parts:
    """The parts of a plan's core, and of its host link if there is one."""
    parts = Parts()
    for instance, engine in zip(plan.engines, engine_estimates(plan), strict=True):
        engine.add_parts(parts, plan.family)
        for delayed in instance.delays:
            delay_parts(parts, delayed.form)
        for queue in instance.queues:
            if queue is not None:
                queue_parts(parts, queue.depth)
        for shape in (instance.form.memories(plan.family) | instance.stream_memories(plan.family)).values():
            if isinstance(shape, MemoryShape):
                memory_parts(parts, shape, registered=engine.registered(plan.family))
            else:
                spram_parts(parts, shape)
    _streams(parts, plan)
    if plan.readout is not None:
        readout_parts(parts, plan.readout, plan.family)
    if link is not None:
        link_parts(parts, link)
        if link.readout is not None:
            readout_link_parts(parts, link.readout)
        if plan.sprams:
            flash_parts(parts, sum(map(len, plan.sprams)))
    return parts


def _streams(parts: Parts, plan: Plan) -> None:
    """Where engines meet."""
    sizes = {CORE_INPUT: plan.network.input_size}
    sizes |= {number: instance.form.outputs for number, instance in enumerate(plan.engines)}
    for instance in plan.engines:
        ports = len(instance.heard)
        if ports > 1:
            rows = sum(sizes[source] for source in instance.sources) + sum(d.form.rows for d in instance.delays)
            parts.lut("merge", ports * (address_bits(rows) + 2))
        if instance.form.inner:
            parts.lut("merge", 6 + 2 * COMPARE * address_bits(len(instance.form.inner)))
            parts.ff("bank", 2)
    heard = [source for instance in plan.engines for source in instance.heard]
    for source in set(heard):
        listeners = heard.count(source)
        if listeners > 1:
            parts.lut("merge", 3 * listeners)
            parts.ff("bank", listeners)
