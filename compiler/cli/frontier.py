"""`spikeloom compress --frontier`: a network compressed in many ways, and the one that is chosen of them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import common

if TYPE_CHECKING:
    from ...sim.evaluation import Comparison
    from ..data.samples import Samples
    from ..flow.frontier import FrontierPoint
    from ..ir.network import Network

SPARSITIES = "0.8,0.9,0.95,0.97"
WIDTHS = "3,4,6"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of a search, for the parser of `compress`."""
    group = parser.add_argument_group("frontier: many sparsities and widths, of which one is written")
    group.add_argument(
        "--frontier",
        nargs="?",
        const=SPARSITIES,
        type=common.several(common.real(0, 1)),
        metavar="S,...",
        help=f"try these sparsities (default: {SPARSITIES}) and write the fewest bits that are accurate enough",
    )
    group.add_argument(
        "--widths",
        type=common.several(common.whole(2, 16)),
        default=WIDTHS,
        metavar="N,...",
        help=f"bits of a weight to try (default: {WIDTHS})",
    )
    group.add_argument(
        "--within", type=common.real(0, 100), default=1.0, metavar="POINTS", help="accuracy to lose (default: 1)"
    )
    group.add_argument(
        "--choose", type=Path, metavar="VAL.npz", help="labelled samples to choose by (default: a quarter of CAL.npz)"
    )
    group.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw accuracy over stored bits")


def check(options: argparse.Namespace) -> None:
    """OptionError for options that go with a frontier only, or not with one."""
    from ...hdl.errors import OptionError
    from ..output.build_folder import check_file

    if options.frontier is None:
        for name in ("choose", "plot"):
            if getattr(options, name) is not None:
                raise OptionError(f"--{name} is for the choice of one network of many: give --frontier as well")
        return
    for name, instead in (("sparsity", "--frontier S,..."), ("bits", "--widths N,..."), ("scheme", "--widths")):
        if getattr(options, name) is not None:
            raise OptionError(f"a frontier has many sparsities and widths: got --{name}; say {instead} instead")
    if options.plot is not None:
        check_file(options.plot, force=options.force)
    options.sparsity, options.bits = options.frontier[0], options.widths[0]  # what the recipe begins with


def run(
    options: argparse.Namespace, source: Network, method: str, ways: Iterator[FrontierPoint], test: Samples | None
) -> int:
    """Compress by a method in all `ways`, choose, judge the choice on the samples of the test, write and report. Ctrl-C
    ends the search: what was found till then is chosen of."""
    from ...sim.evaluation import compare
    from ..compression.report import with_origin
    from ..flow.frontier import chosen, front
    from ..frontends.nir.writer import write_nir

    points = _found(options, method, ways)
    best = chosen(points, options.within / 100)
    comparison = None if test is None else compare(source, best.network, test)
    judged = (best.figures.judged if comparison is None else comparison).judged
    write_nir(with_origin(best.network, source, best.report, judged), options.output)
    if options.plot is not None:
        _plot(options, source, points, best)
    if options.json:
        print(json.dumps(_data(points, front(points), best, comparison), indent=2))
    else:
        _print(options, points, front(points), best, comparison)
    return 0


def _found(options: argparse.Namespace, method: str, ways: Iterator[FrontierPoint]) -> list[FrontierPoint]:
    points: list[FrontierPoint] = []
    total = len(options.frontier) * len(options.widths)
    try:
        with common.progress_bar(f"compressing in {total} ways ({method})") as progress:
            for point in ways:
                points.append(point)
                if progress is not None:
                    progress(len(points), total)
    except KeyboardInterrupt:
        if not points:
            raise
        common.tell(f"interrupted: {len(points)} of {total} ways were tried")
    return points


def _plot(options: argparse.Namespace, source: Network, points: Sequence[FrontierPoint], best: FrontierPoint) -> None:
    from ..report.sweep_plot import BITS, sweep_svg

    data, original = [p.figures.data() for p in points], best.figures.judged.original
    drawing = sweep_svg(source.name, data, original, BITS, ringed=points.index(best))
    common.write_text(options.plot, drawing, force=options.force)


def _data(
    points: Sequence[FrontierPoint],
    front: Sequence[FrontierPoint],
    best: FrontierPoint,
    comparison: Comparison | None,
) -> dict[str, Any]:
    from dataclasses import asdict

    rows = [p.figures.data() | {"front": p in front, "chosen": p is best} for p in points]
    judged = best.figures.judged
    return {
        "float": judged.original,
        "samples": judged.samples,
        "points": rows,
        "accuracy": None if comparison is None else asdict(comparison),
    }


def _print(
    options: argparse.Namespace,
    points: Sequence[FrontierPoint],
    front: Sequence[FrontierPoint],
    best: FrontierPoint,
    comparison: Comparison | None,
) -> None:
    from ..report.text import print_tables, table
    from ..report.wording import counted, number

    judged = best.figures.judged
    rows = [
        (
            "chosen" if point is best else "front" if point in front else "",
            f"{figures.sparsity:.1%}",
            str(figures.bits),
            f"{figures.judged.compressed:.2%}",
            f"{figures.judged.change:+.2%}",
            number(figures.stored_bits),
            number(round(figures.metrics.footprint_bytes)),
            f"{figures.metrics.connection_sparsity:.1%}",
            f"{figures.metrics.activation_sparsity:.1%}",
            number(round(figures.metrics.synaptic_operations)),
            number(round(figures.cycles)),
        )
        for point in points
        for figures in (point.figures,)
    ]
    figures_of = ("Accuracy", "Change", "Stored bits", "Footprint, bytes")
    neurobench = ("Connection sparsity", "Activation sparsity", "Synaptic operations")
    headings = ("", "Sparse", "Bits", *figures_of, *neurobench, "Cycles")
    title = f"float {judged.original:.2%} of {counted(judged.samples, 'held-out sample')}, by {judged.readout}"
    print_tables(table(title, headings, rows, numeric=tuple(range(1, len(headings)))))
    lost = -100 * judged.change
    if lost > options.within + 1e-9:
        print(f"no way loses {options.within:g} points or less: the most accurate loses {lost:.2f}")
    if comparison is not None:
        print(
            f"chosen, on {counted(comparison.samples, 'test sample')}: {comparison.original:.2%} before, "
            f"{comparison.compressed:.2%} after"
        )
    print(f"\ncompressed network: {options.output}")
