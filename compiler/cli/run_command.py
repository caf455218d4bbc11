"""`spikeloom run`: samples through a board, or through a recorded session."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..names import RUN_MODES
from . import common, early

if TYPE_CHECKING:
    from ...boards.host.answers import Answers
    from ...boards.host.facts import LinkFacts
    from ...boards.host.line import Line
    from ...boards.host.session import RecordingLine
    from ..data.samples import Samples


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "run",
        help="run samples on a board",
        description="Send samples to a board with a build's bitstream and print what it answers, how fast, and how "
        "often it is right. Exit status 0 only where every sample was answered, and with --check as the integer "
        "reference answers.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a build folder")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", metavar="PORT", help="the board's serial port, or auto")
    where.add_argument("--replay", type=Path, metavar="FILE", help="a recorded session in place of a board")
    parser.add_argument("--data", type=Path, required=True, metavar="SAMPLES.npz", help="the samples to run")
    parser.add_argument("--limit", type=common.whole(1), metavar="N", help="run the first N samples only")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--mode",
        choices=RUN_MODES,
        default="execute",
        help="execute: every sample alone, for its latency; validate: also compare; throughput: one after the other as "
        "fast as the line lets them (default: execute)",
    )
    mode.add_argument("--check", dest="mode", action="store_const", const="validate", help="short for --mode validate")
    early.add_option(parser)
    parser.add_argument("--timeout", type=common.real(0, open_=True), metavar="S", help="seconds to wait for an answer")
    parser.add_argument("--record", type=Path, metavar="FILE", help="keep the bytes of the session")
    parser.add_argument("--output", type=Path, metavar="FILE.npz", help="keep the answers")
    parser.add_argument("--force", action="store_true", help="replace existing files")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Send, compare, print."""
    from ...boards.host.board import Board
    from ...boards.host.facts import read_facts
    from ...sim.reference import run_reference
    from ..flow.on_board import check_answers, sent
    from ..frontends.nir.reader import read_nir
    from ..frontends.samples import read_samples
    from ..output.build_folder import check_file

    for file in (options.record, options.output):
        if file is not None:
            check_file(file, force=options.force)
    build = common.open_build(options.folder)
    facts = read_facts(build.path)
    network = read_nir(build.network_file)
    samples = read_samples(options.data, network, coding=build.coding).first(options.limit)
    alone = {"execute": len(samples), "validate": None, "throughput": 0}[options.mode]
    line, recording = _line(options, facts)
    with ExitStack() as at_the_end:
        at_the_end.callback(line.close)
        if recording is not None:
            at_the_end.callback(recording.save, options.record, facts.identity)
        board = Board(line, facts, patience=options.timeout)
        with common.progress_bar(f"running {len(samples)} samples at {line.name}") as progress:
            given = sent(facts, samples)
            margin = options.early_exit
            answers = board.predict(given, profile=True, progress=progress, alone=alone, early_exit=margin)
    checks = options.mode == "validate"
    compared = saved = None
    if checks or answers.steps is not None:
        expected = run_reference(network, samples.spikes)
        compared = check_answers(network, facts, samples, answers, margin, expected) if checks else None
        saved = None if answers.steps is None else early.saved_by(build, network, samples, margin, expected)
    if options.output is not None:
        _save(options.output, answers)
    _print(options, facts, samples, answers, str(network.reading), compared, saved)
    _question(samples, answers)
    return 0


def _line(options: argparse.Namespace, facts: LinkFacts) -> tuple[Line, RecordingLine | None]:
    """The line to talk over, and what records it."""
    from ...boards.host.line import SerialLine
    from ...boards.host.ports import find_port
    from ...boards.host.session import RecordingLine, ReplayedLine

    line: Line
    if options.replay is not None:
        line = ReplayedLine(options.replay)
    else:
        line = SerialLine(find_port(facts) if options.port == "auto" else options.port, facts.baud)
    if options.record is None:
        return line, None
    recording = RecordingLine(line)
    return recording, recording


def _save(path: Path, answers: Answers) -> None:
    import numpy as np

    from ..output.build_folder import replaced

    given = {name: getattr(answers, name) for name in ("classes", "spikes", "counts", "readings", "steps")}
    with replaced(path) as file, file.open("wb") as stream:
        np.savez_compressed(stream, **{name: values for name, values in given.items() if values is not None})


ALIKE = 10
"""Samples of several classes whose one answer is questioned, where there are so many."""


def _question(samples: Samples, answers: Answers) -> None:
    """Warn where every sample has the same answer, as those have of a network that is silent."""
    found, labels = set(answers.classes.tolist()), samples.labels
    if labels is None or len(labels) < ALIKE or len(found) > 1 or len(set(labels.tolist())) == 1:
        return
    common.warn(
        f"every sample was answered by class {found.pop()}: is the output silent? An encoder or samples unlike those "
        "of the training may do that; compare with simulate on the same samples"
    )


def _print(
    options: argparse.Namespace,
    facts: LinkFacts,
    samples: Samples,
    answers: Answers,
    reading: str,
    compared: int | None,
    saved: dict[str, Any] | None,
) -> None:
    """What came out."""
    from ..report.wording import counted, number

    profile = answers.profile
    assert profile is not None, "a run is profiled"
    accuracy = None if samples.labels is None else float((answers.classes == samples.labels).mean())
    if options.json:
        print(json.dumps(_data(facts, answers, accuracy, compared) | {"early_exit": saved}, indent=2))
        return
    print(f"{counted(len(answers.classes), 'sample')} answered by the design {facts.identity:04x}")
    if profile.latencies:
        ordered = sorted(profile.latencies)
        print(
            f"latency on the line: {profile.latency * 1e3:.3f} ms (median of {len(ordered)} sent alone; "
            f"{ordered[0] * 1e3:.3f} to {ordered[-1] * 1e3:.3f})"
        )
    if profile.samples:
        print(
            f"throughput on the line: {number(round(profile.throughput, 1))} samples/s (of {profile.samples}, one "
            "after the other)"
        )
    print(
        f"line: {number(profile.sent)} bytes out, {number(profile.received)} in at {number(facts.baud)} baud; "
        f"{counted(profile.repeated, 'time')} something was sent again"
    )
    if accuracy is not None:
        print(f"accuracy: {accuracy:.2%} of {counted(len(samples), 'sample')}, by {reading}")
    if saved is not None:
        early.print_saved(saved)
    if compared is not None:
        print(f"equal: {number(compared)} values and every class are the integer reference's")


def _data(facts: LinkFacts, answers: Answers, accuracy: float | None, compared: int | None) -> dict[str, Any]:
    profile = answers.profile
    assert profile is not None, "a run is profiled"
    return {
        "samples": len(answers.classes),
        "identity": facts.identity,
        "baud": facts.baud,
        "latency_ms": profile.latency * 1e3 if profile.latencies else None,
        "latencies_ms": [latency * 1e3 for latency in profile.latencies],
        "samples_per_second": profile.throughput,
        "bytes_sent": profile.sent,
        "bytes_received": profile.received,
        "repeated": profile.repeated,
        "accuracy": accuracy,
        "values_compared": compared,
        "classes": answers.classes.tolist(),
    }
