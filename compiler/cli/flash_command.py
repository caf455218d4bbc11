"""`spikeloom flash`: a build's bitstream onto its board."""

from __future__ import annotations

import argparse
import hashlib
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import common

if TYPE_CHECKING:
    from ...boards.flash.plan import FlashPlan


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "flash",
        help="write a build to its board",
        description="Write a build's bitstream, and its weights where they lie in flash, to the flash of its board, by "
        "the first of the board's tools that is installed. Says first what it will do.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a build folder")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--volatile", action="store_true", help="configure the FPGA until its power goes; no flash")
    parser.add_argument("--tool", metavar="TOOL", help="one of the board's tools (docs/boards.md); spikeloom: our own")
    parser.add_argument("--unprotect", action="store_true", help="with --tool spikeloom: lift the flash's protection")
    parser.add_argument(
        "--ftdi", metavar="URL", help="with --tool spikeloom: the chip, as pyftdi names it (ftdi://...)"
    )
    common.board_file_option(parser)
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Say what is done, and do it."""
    from ...boards.boards import find_board
    from ...boards.flash.loaders import OWN
    from ...boards.flash.plan import plan_flash, run_plan
    from ...boards.host.facts import read_facts
    from ...hdl.errors import InputError, OptionError

    if (options.unprotect or options.ftdi) and options.tool != OWN:
        raise OptionError(f"--unprotect and --ftdi are for our own writer: add --tool {OWN}")
    common.add_board_file(options)
    build = common.open_build(options.folder)
    facts = read_facts(build.path)
    loaders = () if facts.board is None else find_board(facts.board).loaders
    plan = plan_flash(build.path, facts, loaders, tool=options.tool, volatile=options.volatile)
    if plan.file.name in build.changed_files():
        raise InputError(
            f"a build is written to a board as it was made: {plan.file} was changed since, and may be for another "
            "device; compile again"
        )
    _announce(plan, facts.board or "", options.ftdi)
    if options.dry_run:
        return 0
    if plan.program is None:
        return _write_ourselves(plan, options)
    with tempfile.NamedTemporaryFile(prefix="spikeloom-flash-", suffix=".log", delete=False) as log:
        pass
    with common.progress_bar(f"writing by {plan.loader.tool}"):
        run_plan(plan, Path(log.name))
    Path(log.name).unlink()
    print("written; see whether it answers: spikeloom run DIR --port auto --data SAMPLES.npz")
    return 0


def _announce(plan: FlashPlan, board: str, url: str | None) -> None:
    """What will be done, exactly."""
    from ...hdl.files import read_regular
    from ..output.build_folder import MAX_OUTPUT_BYTES

    content = read_regular(plan.file, "a bitstream", MAX_OUTPUT_BYTES)
    where = "until its power goes" if plan.volatile else "into its flash"
    print(f"{plan.file} to {board}, {where}")
    print(f"  {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")
    for command in plan.commands():
        print(f"  {shlex.join(command)}{' (a copy of the file)' if plan.loader.before else ''}")
    if plan.program is None:
        print(f"  own writer at {url or plan.loader.url}: identify, read, erase and program what differs, read back")


def _write_ourselves(plan: FlashPlan, options: argparse.Namespace) -> int:
    from ...boards.flash.ftdi import FtdiPort
    from ...boards.flash.spi_flash import SpiFlash

    with FtdiPort(options.ftdi or plan.loader.url) as port:
        flash = SpiFlash(port)
        common.tell(f"flash: {flash.chip}")
        if options.unprotect:
            flash.unprotect()
        with common.progress_bar("writing the flash") as progress:
            done = flash.write(plan.file.read_bytes(), progress=progress)
    print(
        f"written and read back: {done.sectors} sectors of 4 KiB differed, {done.erased} were erased, "
        f"{done.pages} pages programmed"
    )
    return 0
