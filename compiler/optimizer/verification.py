"""What a candidate really costs: its whole design, host link included, through the tools of the target."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...boards.artix7 import synthesise_artix7
from ...boards.boards import Board, device_of
from ...boards.clock import BAUD, ClockPlan, clocks_per_bit, plan_clock
from ...boards.devices import Device
from ...boards.toolchain import BuildResult, build
from ...hdl.errors import CapacityError, ToolError
from ...hdl.json_files import decoded
from ...hdl.link.linked_core import LinkedCore
from ...hdl.link.protocol import LinkFormat
from ...hdl.resources import Resources
from ...hdl.staging import scratch_folder
from ..flow.clock import aimed_clock, built_near_fmax
from ..flow.link_facts import named
from ..flow.options import CompileOptions, clocks_of, follows_fmax
from ..flow.writing import core_text
from ..plan.host_link import link_for, with_room
from ..plan.lean import without_silent
from ..plan.plan import Plan, make_plan
from .evaluation import foldings_of, unpacked
from .target import Target, find_target


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What the tools say. `resources` and `fmax_mhz` are None where they did not get so far.

    `problem` is why the candidate will not do, or None. On a target that is only synthesised there is no `fmax_mhz`.
    """

    tools: str
    resources: Resources | None = None
    fmax_mhz: float | None = None
    clock_mhz: float | None = None
    problem: str | None = None

    @property
    def fits(self) -> bool:
        """Whether the candidate is verified."""
        return self.problem is None

    def data(self) -> dict[str, Any]:
        """The measurement as JSON holds it."""
        return asdict(self) | {"fits": self.fits}

    @classmethod
    def read(cls, text: str) -> Measurement:
        """The measurement whose data are this JSON text. Raises ShapeError."""
        return decoded(text, cls)


def verify_candidate(
    context: object, network: bytes, folding: str, target_id: str, seed: int, native: bool
) -> Measurement:
    """Synthesise, place and route a packed network on a folding of that name."""
    integers, target = without_silent(unpacked(network)).network, find_target(target_id)
    plan = make_plan(integers, target.family.value, foldings_of(integers)[folding])
    with scratch_folder() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*created but never used")
        if target.place is None:
            return _synthesised(plan, target, folder, native)
        return _placed(plan, target.place, folder, seed, native)


def _synthesised(plan: Plan, target: Target, folder: Path, native: bool) -> Measurement:
    link = _link(plan, target.capacity)
    core = LinkedCore(plan.core(), link, clocks_per_bit(target.clock_hz, BAUD), plan.family)
    tools = "synth_xilinx for the XC7A35T, not placed"
    try:
        used = synthesise_artix7(core, folder, native=native)
    except ToolError as error:
        return Measurement(tools=tools, problem=str(error).split("; ")[0])
    return Measurement(tools=tools, resources=used, problem=binding(used, target.capacity))


def _placed(plan: Plan, place: Board | Device, folder: Path, seed: int, native: bool) -> Measurement:
    """As a build makes it where nobody gives a clock."""
    link, options = _link(plan, device_of(place).capacity), CompileOptions()
    tools = "yosys and nextpnr"

    def build_at(clock: ClockPlan) -> BuildResult:
        core = LinkedCore(plan.core(), link, clocks_of(place, options, clock), plan.family)
        return build(core, place, folder, seed=seed, clock_hz=clock.hz, native=native)

    try:
        if follows_fmax(place, options):
            aim = aimed_clock(place, options, plan, link)
            paced = built_near_fmax(place, options, aim, build_at, lambda: lambda: None)  # the figures are what stays
            built, clock = paced.built, paced.clock
        else:
            clock = plan_clock(place, None)
            built = build_at(clock)
    except CapacityError as error:
        return Measurement(tools=tools, problem=str(error).split(": ")[0])
    except ToolError as error:
        return Measurement(tools=tools, problem=str(error).split("; ")[0])
    return Measurement(
        tools=tools,
        resources=built.utilisation.used,
        fmax_mhz=built.timing.fmax_mhz,
        clock_mhz=clock.hz / 1e6,
    )


def _link(plan: Plan, capacity: Resources) -> LinkFormat:
    """The link as a build has it, with the design's identity, which costs a few cells more or less."""
    return named(with_room(link_for(plan.network, capacity), plan, capacity), core_text(plan))


NAMES = {
    "luts": "LUTs",
    "ffs": "flip-flops",
    "lcs": "logic cells",
    "brams": "block RAMs",
    "spram": "SPRAMs",
    "dsps": "DSPs",
}
"""What resources are called."""


def binding(used: Resources, capacity: Resources) -> str | None:
    """Which resources are short and by how much, or None where all suffice."""
    short = [
        f"{getattr(used, name):,} {words} of {getattr(capacity, name):,}"
        for name, words in NAMES.items()
        if name != "lcs" or capacity.lcs
        if getattr(used, name) > getattr(capacity, name)
    ]
    return f"the design needs {' and '.join(short)}" if short else None
