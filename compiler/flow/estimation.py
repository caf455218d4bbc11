"""What a network should cost and how fast it should be on a target, without running a tool: `spikeloom estimate`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from ...boards.boards import device_of
from ...boards.devices import Device
from ...hdl.errors import OptionError
from ...sim.recording import Recording
from ...sim.reference import run_reference
from ..data.samples import Samples
from ..estimate.estimate import Estimate, estimate
from ..ir.network import Network
from ..plan.folding import Folding
from ..plan.plan import Plan
from ..plan.readout import answered, require_answer
from .clock import aimed_clock
from .compile import for_core, integers_of
from .facts import Integers, Step
from .folding import link_beside, link_on, plan_for, with_chosen_folding
from .measure import affordable, random_samples
from .options import (
    CompileOptions,
    check_coding,
    check_headroom,
    check_wide,
    follows_fmax,
    is_wide,
    plan_target_clock,
    require_target,
    silent,
)

CYCLES, SAMPLES = 200_000, 100
"""Samples are counted until they have so many cycles, and so many of them at most."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Estimation:
    """The estimate of a `plan`, whether its host link is in it, and what it was counted on: `counted` of the samples
    that `recording` is the reference's of, as they came (`stimulus` "samples") or made up ("random")."""

    figures: Estimate
    plan: Plan
    integers: Integers
    device: Device | None
    clock_mhz: float
    linked: bool
    recording: Recording
    ran: Samples
    counted: int
    stimulus: str

    def data(self) -> dict[str, Any]:
        """As JSON data (`spikeloom estimate --json`)."""
        figures, device = self.figures, self.device
        capacity = {} if device is None else asdict(device.capacity)
        cycles = figures.cycles
        assert figures.work is not None
        return {
            "device": None if device is None else device.id,
            "family": "ice40" if device is None else device.family.value,
            "resources": {
                name: {"estimated": amount, "available": capacity.get(name)}
                for name, amount in asdict(figures.resources).items()
            },
            "guessed_parts": list(figures.guessed),
            "fits": None if device is None else figures.resources.fits(device.capacity),
            "fmax_mhz": figures.fmax_mhz,
            "clock_mhz": round(self.clock_mhz, 6),
            "cycles_per_sample": None if cycles is None else round(cycles, 2),
            "microseconds_per_sample": None if cycles is None else round(cycles / self.clock_mhz, 3),
            "work_per_sample": {name: round(amount, 2) for name, amount in asdict(figures.work).items()},
            "host_link": self.linked,
            "activity": {"samples": self.counted, "steps": self.ran.steps, "stimulus": self.stimulus},
        }


def estimate_network(
    source: Network,
    options: CompileOptions,
    samples: Samples | None = None,
    *,
    folding: Callable[[Network], Folding | None] | None = None,
    cycles: int = CYCLES,
    step: Step = silent,
) -> Estimation:
    """Compress a float network as the options say, plan it, and estimate the design, with its host link on a target.

    `folding` is asked for the folding of the integer network, where the options leave it open. Cycles are exact on as
    many of the samples as keep the core busy for `cycles`, or on random ones. Raises what `compile_network` raises
    before any tool runs.
    """
    check_headroom(replace(options, verilog_only=False))
    target = require_target(replace(options, verilog_only=True))
    if options.fastest and target is None:
        raise OptionError("the fastest clock is that of a device: none is given; choose a board or device, or a clock")
    clock = plan_target_clock(target, options)
    source = answered(source)
    require_answer(source)
    options = replace(options, verilog_only=target is None)
    check_coding(options, source, None)
    integers = integers_of(source, options, samples, step)
    if folding is not None:
        options = replace(options, folding=folding(integers.network))
    options = replace(options, verilog_only=options.verilog_only or is_wide(options))
    network = for_core(integers, options)[1].network
    check_wide(options)
    link = link_on(target, network, options)
    options = with_chosen_folding(network, target, options, link, samples, step)
    plan = plan_for(network, target, options, link)
    link = link_beside(plan, target, link)
    if target is not None and follows_fmax(target, options):
        clock = aimed_clock(target, options, plan, link)
    device = None if target is None else device_of(target)
    linked = device is not None and not plan.folding.wide
    ran = random_samples(plan.network, options.seed, options.coding) if samples is None else samples.first(SAMPLES)
    recording = run_reference(plan.network, ran.spikes)
    counted = affordable(plan, ran, recording, cycles, SAMPLES)
    spikes = recording.trains(ran.spikes[:counted], counted)
    figures = estimate(plan, device=None if device is None else device.id, link=link if linked else None, spikes=spikes)
    return Estimation(
        figures=figures,
        plan=plan,
        integers=integers,
        device=device,
        clock_mhz=clock.hz / 1e6,
        linked=linked,
        recording=recording,
        ran=ran,
        counted=counted,
        stimulus="random" if samples is None else "samples",
    )
