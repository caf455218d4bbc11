"""`spikeloom estimate`: what a network should cost and how fast it should be, without running a tool."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..names import ANSWERS, WEIGHT_MEMORIES
from . import common
from .coding_options import check_coding_options, coding_of, coding_options

if TYPE_CHECKING:
    from ...boards.devices import Device
    from ...hdl.link.protocol import LinkFormat
    from ..data.samples import Samples
    from ..estimate.estimate import Estimate
    from ..flow.options import CompileOptions
    from ..plan.plan import Plan

CYCLES, SAMPLES = 200_000, 100
"""Samples are counted until they have so many cycles, and so many of them at most."""


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "estimate",
        parents=[
            common.model_options(ANSWERS),
            common.compression_options(),
            common.folding_options(),
            common.purpose_options(),
            coding_options(),
        ],
        help="say what a network should cost, without running a tool",
        description="Estimate resources, clock, cycles and work of a NIR file's design with its host link, or without "
        "--board and --device of the core alone for an iCE40 (docs/hardware.md says how good the figures are).",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a NIR file")
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--board", metavar="BOARD", help="the board that it is for (see spikeloom boards)")
    common.board_file_option(target)
    target.add_argument("--device", metavar="DEVICE", help="the FPGA that it is for, or ice40 (UP5K), ecp5 (25F)")
    parser.add_argument("--data", type=Path, metavar="SAMPLES.npz", help="samples to quantise with and count cycles on")
    parser.add_argument(
        "--weights",
        choices=WEIGHT_MEMORIES,
        default="auto",
        help="where weights lie: block RAM, or on a UP5K in SPRAM (default: as needed)",
    )
    common.headroom_option(parser)
    common.packed_option(parser)
    parser.add_argument("--clock-mhz", type=common.real(0, open_=True), metavar="F", help="default: the board's")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Estimate, and print the tables."""
    from ...boards.boards import device_of
    from ..flow.compile import for_core, integers_of, link_on, plan_for, with_chosen_folding
    from ..flow.options import check_coding, check_headroom, check_wide, plan_target_clock, require_target
    from ..frontends.samples import read_samples
    from ..plan.readout import answered, require_answer

    common.add_board_file(options)
    check_coding_options(options)
    wanted = _wanted(options)
    check_headroom(replace(wanted, verilog_only=False))
    target = require_target(wanted)
    clock = plan_target_clock(target, wanted)
    source = answered(common.read_model(options))
    require_answer(source)
    coding = coding_of(options, source)
    wanted = replace(wanted, coding=coding)
    check_coding(replace(wanted, verilog_only=target is None), source, None)
    samples = None if options.data is None else read_samples(options.data, source, coding=coding)
    integers = integers_of(source, wanted, samples, common.progress_bar)
    wanted = replace(wanted, folding=common.folding_of(options, integers.network))
    network = for_core(integers, wanted)[1].network
    check_wide(wanted)
    link = link_on(target, network, wanted)
    wanted = with_chosen_folding(network, target, wanted, link, samples, common.progress_bar)
    plan = plan_for(network, target, wanted, link)
    device = None if target is None else device_of(target)
    linked = device is not None and not plan.folding.wide
    figures, activity = _estimated(plan, device, link if linked else None, samples, wanted)
    summary = _summary(figures, device, clock.hz / 1e6) | {"host_link": linked, "activity": activity}
    if options.json:
        print(json.dumps(summary, indent=2))
    else:
        _print(summary)
    return 0


def _wanted(options: argparse.Namespace) -> CompileOptions:
    from ..compression.overrides import overrides_of
    from ..flow.options import CompileOptions

    return CompileOptions(
        board=options.board,
        device=options.device,
        method=options.method,
        sparsity=options.sparsity,
        bits=options.bits,
        scheme=options.scheme,
        layers=overrides_of(options.layer),
        weights=options.weights,
        clock_mhz=options.clock_mhz,
        verilog_only=True,
        headroom=options.headroom,
        packed=options.packed,
        **common.purpose_of(options),
    )


def _estimated(
    plan: Plan, device: Device | None, link: LinkFormat | None, samples: Samples | None, wanted: CompileOptions
) -> tuple[Estimate, dict[str, Any]]:
    """The estimate on as many samples as time allows, or on made-up ones, and what these are."""
    from ...sim.reference import run_reference
    from ..estimate.estimate import estimate
    from ..flow.measure import affordable, random_samples

    ran = random_samples(plan.network, wanted.seed, wanted.coding) if samples is None else samples.first(SAMPLES)
    recording = run_reference(plan.network, ran.spikes)
    ran = ran.first(affordable(plan, ran, recording, CYCLES, SAMPLES))
    spikes = recording.trains(ran.spikes, len(ran))
    figures = estimate(plan, device=None if device is None else device.id, link=link, spikes=spikes)
    stimulus = "random" if samples is None else "samples"
    return figures, {"samples": len(ran), "steps": ran.steps, "stimulus": stimulus}


def _summary(figures: Estimate, device: Device | None, clock_mhz: float) -> dict[str, Any]:
    """The estimate as JSON data."""
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
        "clock_mhz": round(clock_mhz, 6),
        "cycles_per_sample": None if cycles is None else round(cycles, 2),
        "microseconds_per_sample": None if cycles is None else round(cycles / clock_mhz, 3),
        "work_per_sample": {name: round(amount, 2) for name, amount in asdict(figures.work).items()},
    }


def _print(summary: dict[str, Any]) -> None:
    from ..report.text import print_tables, table
    from ..report.wording import counted, number, resource_names, share

    rows = [
        (
            name,
            number(entry["estimated"]),
            "" if entry["available"] is None else number(entry["available"]),
            share({"used": entry["estimated"], "available": entry["available"]}),
        )
        for key, name in resource_names(summary["family"]).items()
        if (entry := summary["resources"][key])["estimated"] or entry["available"]
    ]
    where = ["with host link" if summary["host_link"] else "the core alone", summary["device"]]
    cost = table(
        f"Estimate ({', '.join(filter(None, where))})",
        ("Resource", "Estimated", "Available", "Share"),
        rows,
        numeric=(1, 2, 3),
    )
    activity = summary["activity"]
    samples = counted(activity["samples"], "random sample" if activity["stimulus"] == "random" else "sample")
    figures = [
        ("Fmax", f"{summary['fmax_mhz']:.1f} MHz", ""),
        ("Clock", f"{summary['clock_mhz']:g} MHz", "" if summary["device"] else "assumed for the time below"),
    ]
    if summary["guessed_parts"]:
        figures.append(("First guess", "", f"no price was measured of: {', '.join(summary['guessed_parts'])}"))
    if summary["fits"] is not None:
        figures.insert(0, ("Fits", "yes" if summary["fits"] else "NO", summary["device"]))
    if (cycles := summary["cycles_per_sample"]) is not None:
        counted_on = f"counted on {samples} of {counted(activity['steps'], 'step')}"
        figures.append(("Cycles per sample", number(cycles), counted_on))
        figures.append(("Time per sample", f"{number(summary['microseconds_per_sample'])} µs", "the core alone"))
    work = [(name.replace("_", " "), number(amount)) for name, amount in summary["work_per_sample"].items()]
    print_tables(
        cost,
        table("Performance", ("Figure", "Value", "Note"), figures, numeric=(1,)),
        table("Work per sample", ("Stands in for energy", "Times"), work, numeric=(1,)),
    )
