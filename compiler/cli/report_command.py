"""`spikeloom report`: show what a build costs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from . import common


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "report",
        help="show what a build costs",
        description="Print the synthesis report of a build folder (its schema: docs/report.md).",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a build folder")
    parser.add_argument("--json", action="store_true", help="print report.json")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    parser.add_argument("--force", action="store_true", help="replace an existing FILE")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the report, or write its page."""
    from ..output.build_folder import check_file, replaced
    from ..report.page import render_html
    from ..report.report import check_report
    from ..report.text import print_report

    if options.html is not None:
        check_file(options.html, force=options.force)
    report = check_report(common.open_build(options.folder).report())
    if options.html is not None:
        with replaced(options.html, force=options.force) as temporary:
            temporary.write_text(render_html(report), encoding="utf-8")
        common.tell(f"wrote {options.html}")
    if options.json:
        print(json.dumps(report, indent=2))
    elif options.html is None:
        print_report(report)
    return 0
