"""The report for a terminal: tables on a terminal, the same as plain text when piped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .contents import Chapter, chapters
from .wording import beats_text, exchange_text, number, printable, readings_text, silent_text, title_of

WIDTH = 100
"""Columns of the text; terminals that are narrower get less."""

WHOLE = 24
"""Columns up to which a name or a figure is not broken."""


def print_report(report: Mapping[str, Any], console: Console | None = None) -> None:
    """Print a report (docs/report.md) to `console`, or to standard output."""
    console = _bounded(console)
    network, device = report["network"], report["device"]
    console.print(Text(printable(title_of(report)), style="bold"))
    console.print(
        Text(
            f"{number(network['inputs'])} inputs, {number(network['neurons'])} neurons{silent_text(network)}, "
            f"{number(network['outputs'])} outputs; "
            f"{number(network['synapses'])} synapses ({network['sparsity']:.1%} sparse)"
        )
    )
    if report.get("input", {}).get("wide"):
        console.print(Text(beats_text(report["input"])))
    if (readout := report.get("readout")) is not None and readout["readings"] is not None:
        console.print(Text(printable(readings_text(readout))))
    if device is not None:
        console.print(Text(f"device {device['id']} ({device['family']}, {device['package']})"))
    if (compression := report["compression"]) is not None:
        wanted = f"{compression['sparsity']:.1%} sparsity, {compression['bits']} bits, {compression['scheme']}"
        others = ", ".join(layer["population"] for layer in compression.get("layers", ()))
        wanted += f"; otherwise for the weights into {others}" if others else ""
        console.print(Text(printable(f"compressed by {compression['method']}: {wanted}")))
    if (exchange := report.get("exchange")) is not None:
        console.print(Text(exchange_text(exchange)))
    for warning in report["warnings"]:
        console.print(Text(printable(f"warning: {warning}"), style="yellow"))
    console.print()
    print_tables(*(_of_chapter(chapter) for chapter in chapters(report)), console=console)


def _of_chapter(chapter: Chapter) -> Table:
    title = f"{chapter.title} ({chapter.note})" if chapter.note else chapter.title
    return table(title, chapter.headings, chapter.rows, chapter.numeric)


def print_tables(*tables: Table, console: Console | None = None) -> None:
    """Print tables to `console`, or to standard output, an empty line before each but the first."""
    console = _bounded(console)
    for number_, part in enumerate(tables):
        if number_:
            console.print()
        console.print(part)


def _bounded(console: Console | None) -> Console:
    console = console or Console(highlight=False)
    if not console.is_terminal or console.width > WIDTH:
        console.width = WIDTH
    return console


# ----------------------------------------------------------------------------------------------------- tables


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = ()) -> Table:
    """A plain table; the columns `numeric` are aligned to the right.

    Figures and names (the first column) stay whole where there is room: a column of text wraps before they do.
    """
    result = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column, heading in enumerate(headings):
        whole = [row[column] for row in rows] if column == 0 or column in numeric else []
        longest = max((cell_len(printable(cell)) for cell in whole), default=0)
        result.add_column(
            heading,
            justify="right" if column in numeric else "left",
            overflow="fold",
            min_width=min(longest, WHOLE) or None,
        )
    for row in rows:
        result.add_row(*(Text(printable(cell)) for cell in row))
    return result
