"""`spikeloom fit`: the best form of a network that a board or device holds, verified by the tools."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..names import GOALS, METHODS, TOOLS
from . import common

if TYPE_CHECKING:
    from ..optimizer.candidate import Candidate
    from ..optimizer.result import FitResult
    from ..optimizer.search import Status

MOST_WORKERS = 4
"""What the default number of workers is at most: a build takes up to a gigabyte."""

SHOWN = 12
"""How many points of the front are printed."""


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "fit",
        parents=[common.model_options()],
        help="search for the best form of a network that a device holds",
        description="Search sparsity, bits, structure and folding of a float network for a board or device, verify the "
        "best by synthesis, place and route, and write its build folder.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help=common.MODEL)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--board", metavar="BOARD", help="the board to fit (see spikeloom boards)")
    target.add_argument("--device", metavar="DEVICE", help="the FPGA to fit, or ice40 (UP5K), ecp5 (25F), artix7")
    parser.add_argument("--data", type=Path, metavar="DATA.npz", help="samples to calibrate, choose and measure on")
    parser.add_argument("--test", type=Path, metavar="TEST.npz", help="samples of their own to measure accuracy on")
    parser.add_argument(
        "--accuracy-floor", type=common.real(0, 1), metavar="A", help="the least accuracy, such as 0.97"
    )
    parser.add_argument("--goal", choices=GOALS, default="area", help="of like accuracy (default: area)")
    group = parser.add_argument_group("compression of every candidate")
    group.add_argument("--method", choices=METHODS, help="default: osbc with data and torch, else magnitude")
    group.add_argument("--no-distil", action="store_true", help="end osbc without training on the calibration samples")
    group.add_argument("--finetune", type=Path, metavar="TRAIN.npz", help="labelled samples to train candidates on")
    group.add_argument("--epochs", type=common.whole(1), default=20, metavar="N", help="of --finetune (default: 20)")
    group = parser.add_argument_group("the search")
    group.add_argument("--trials", type=common.whole(1, 100_000), default=30, metavar="N", help="points (default: 30)")
    group.add_argument("--workers", type=common.whole(1, 256), metavar="N", help="processes (default: 4, or one a CPU)")
    group.add_argument("--scheduler", metavar="ADDRESS", help="the Dask scheduler whose workers compute instead")
    group.add_argument("--database", type=Path, metavar="FILE", help="finished points (default: OUTPUT.sqlite)")
    group.add_argument("--seed", type=common.whole(0, 2**31 - 1), default=0, metavar="N", help="of splits and search")
    parser.add_argument("--output", type=Path, metavar="DIR", help="the build folder (default: build/MODEL's name-fit)")
    parser.add_argument("--force", action="store_true", help="replace an existing build folder")
    parser.add_argument("--tools", choices=TOOLS, default="yowasp", help="default: yowasp")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Search, verify, write, report."""
    from ..optimizer.output import write_result
    from ..optimizer.search import require_optuna
    from ..output.build_folder import check_target

    output = options.output or Path("build") / f"{options.model.stem}-fit"
    check_target(output, force=options.force)
    require_optuna()
    result = _searched(options, options.database or output.with_name(f"{output.name}.sqlite"))
    files = {"model": options.model, "samples": options.data, "test": options.test, "training": options.finetune}
    write_result(
        result,
        output,
        native=options.tools == "native",
        inputs={role: file for role, file in files.items() if file is not None},
        conventions=common.conventions(options),
        force=options.force,
        step=common.progress_bar,
    )
    if options.json:
        print(json.dumps(result.data()))
        return 0
    _print_front(result.front)
    print(result.summary())
    print(f"Classes are read by {result.original.reading}")
    print(f"\nbuild folder: {output}")
    return 0


def _searched(options: argparse.Namespace, database: Path) -> FitResult:
    """What the search finds; what it got to is said where it ends without a result."""
    from ..optimizer.errors import AccuracyFloorError, NothingFitsError
    from ..optimizer.fit import fit_to_target
    from .interrupts import Terminated

    target = _target(options)
    network = common.read_model(options)
    try:
        with common.progress_bar(f"searching for {target}") as progress:
            return fit_to_target(
                weights=network,
                target=target,
                data=options.data,
                test=options.test,
                accuracy_floor=options.accuracy_floor,
                finetune=options.finetune,
                epochs=options.epochs,
                method=options.method,
                distil=not options.no_distil,
                goal=options.goal,
                trials=options.trials,
                workers=options.workers or min(MOST_WORKERS, os.cpu_count() or 1),
                scheduler=options.scheduler,
                database=database,
                seed=options.seed,
                native=options.tools == "native",
                watch=_Watch(progress if sys.stderr.isatty() else None),
                hear=common.tell,
            )
    except (AccuracyFloorError, NothingFitsError) as error:
        if error.front and not options.json:
            _print_front(error.front)
        raise
    except (KeyboardInterrupt, Terminated):
        common.tell(f"finished points are in {database}: the same command goes on from there")
        raise


def _target(options: argparse.Namespace) -> str:
    """The target's name; OptionError for a board or device that is none."""
    from ...boards.boards import find_board
    from ..optimizer.target import find_target

    if options.board is not None:
        return find_board(options.board).id
    return find_target(options.device).id


class _Watch:
    """Shows progress: a bar, and a line for a new best candidate; without a bar a line for every point."""

    def __init__(self, progress: common.Progress | None) -> None:
        self._progress = progress
        self._best: Candidate | None = None

    def __call__(self, status: Status) -> None:
        from ..optimizer.status import status_line

        if self._progress is not None:
            self._progress(status.finished, status.trials)
        if self._progress is None or status.best != self._best:
            common.tell(status_line(status))
        self._best = status.best


def _print_front(front: tuple[Candidate, ...]) -> None:
    from ..report.text import print_tables, table
    from ..report.wording import number

    rows = [
        (
            f"{candidate.quality:.1%}",
            candidate.label,
            number(candidate.prediction.resources.luts),
            number(candidate.prediction.resources.brams),
            number(round(candidate.cycles)),
            "yes" if candidate.may_fit else "no",
        )
        for candidate in front[:SHOWN]
    ]
    title = "Pareto front, estimated" + (f" ({SHOWN} of {len(front)} points)" if len(front) > SHOWN else "")
    headings = ("Quality", "Candidate", "LUTs", "Block RAMs", "Cycles per sample", "May fit")
    print_tables(table(title, headings, rows, numeric=(0, 2, 3, 4)))
