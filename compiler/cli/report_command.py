"""`spikeloom report`: show what a build costs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import common


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "report",
        help="show what a build costs, or several beside each other",
        description="Print the synthesis report of a build folder (its schema: docs/report.md), or of several a table "
        "with what differs from the first.",
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="build folders")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print report.json, of several builds all of them")
    form.add_argument("--csv", action="store_true", help="print the table of figures as CSV")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    parser.add_argument("--force", action="store_true", help="replace an existing FILE")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the report, or write its page."""
    from ..output.build_folder import check_file
    from ..report.about import report_of
    from ..report.page import render_html
    from ..report.side_by_side import side_by_side_page, to_csv
    from ..report.text import print_report

    if options.html is not None:
        check_file(options.html, force=options.force)
    reports = [report_of(common.open_build(folder)) for folder in options.folders]
    names = _names(options.folders)
    if options.html is not None:
        page = render_html(reports[0]) if len(reports) == 1 else side_by_side_page(names, reports)
        common.write_text(options.html, page, force=options.force)
    if options.json:
        print(json.dumps(reports[0] if len(reports) == 1 else dict(zip(names, reports, strict=True)), indent=2))
    elif options.csv:
        print(to_csv(names, reports), end="")
    elif options.html is None and len(reports) == 1:
        print_report(reports[0])
    elif options.html is None:
        _print(names, reports)
    return 0


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' last names, or where two have the same their paths, numbered where these are the same too."""
    for names in ([folder.resolve().name for folder in folders], [str(folder) for folder in folders]):
        if len(set(names)) == len(names):
            return names
    return [f"{folder} ({number})" for number, folder in enumerate(folders, 1)]


def _print(names: Sequence[str], reports: Sequence[Mapping[str, Any]]) -> None:
    from ..report.side_by_side import headings_of, rows_of
    from ..report.text import print_tables, table

    headings = headings_of(names)
    title = f"{len(names)} builds; changes are against {names[0]}"
    print_tables(table(title, headings, rows_of(reports), numeric=range(1, len(headings))))
