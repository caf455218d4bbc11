"""The report for a terminal: tables on a terminal, the same as plain text when piped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

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


def _of_chapter(chapter: Chapter) -> Sheet:
    title = f"{chapter.title} ({chapter.note})" if chapter.note else chapter.title
    return table(title, chapter.headings, chapter.rows, chapter.numeric)


def print_tables(*sheets: Sheet, console: Console | None = None) -> None:
    """Print tables to `console`, or to standard output, an empty line before each but the first."""
    console = _bounded(console)
    parts = [part for sheet in sheets for part in sheet.parts(console.width)]
    for number_, part in enumerate(parts):
        if number_:
            console.print()
        console.print(part)


def _bounded(console: Console | None) -> Console:
    console = console or Console(highlight=False)
    if not console.is_terminal or console.width > WIDTH:
        console.width = WIDTH
    return console


# ----------------------------------------------------------------------------------------------------- tables


@dataclass(frozen=True)
class Sheet:
    """A title, headings and rows of text; figures, the columns `numeric`, are aligned to the right."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[int] = ()

    def parts(self, width: int) -> list[Table]:
        """Tables that are no wider than so many columns, as far as that goes without breaking words: the first has as
        many columns as fit, each that follows the first column and as many of the others."""
        return [self._table(columns, not number_, width) for number_, columns in enumerate(self._groups(width))]

    def _groups(self, width: int) -> list[list[int]]:
        """The columns of each part."""
        least = [self._least(column) for column in range(len(self.headings))]
        groups, room = [[0]], width - least[0]
        for column in range(1, len(least)):
            taken = least[column] + GAP
            if taken > room and len(groups[-1]) > 1:
                groups.append([0])
                room = width - least[0]
            groups[-1].append(column)
            room -= taken
        return groups

    def _least(self, column: int) -> int:
        """Columns of the screen that it takes to break no word of it, up to `WHOLE` for a word."""
        whole = column == 0 or column in self.numeric
        cells = [printable(row[column]) for row in self.rows]
        words = [*(cells if whole else " ".join(cells).split()), *self.headings[column].split()]
        return min(max(map(cell_len, words), default=0), WHOLE)

    def _widths(self, columns: Sequence[int], width: int) -> dict[int, int]:
        """How wide columns are side by side: what they need at least, more where there is room, small needs first."""
        widths = {column: self._least(column) for column in columns}
        spare = max(0, width - sum(widths.values()) - GAP * (len(columns) - 1))
        wishes = {column: max(0, self._most(column) - least) for column, least in widths.items()}
        for column in sorted(columns, key=lambda column: wishes[column]):
            more = min(wishes[column], spare)
            widths[column] += more
            spare -= more
        return widths

    def _most(self, column: int) -> int:
        """Columns of the screen that it takes to break no line."""
        return max(map(cell_len, (self.headings[column], *(printable(row[column]) for row in self.rows))))

    def _table(self, columns: Sequence[int], first: bool, width: int) -> Table:
        title = self.title if first else f"{self.title.split(' (')[0]}, continued"
        result = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        widths = self._widths(columns, width)
        for column in columns:
            justify: Literal["left", "right"] = "right" if column in self.numeric else "left"
            result.add_column(self.headings[column], justify=justify, overflow="fold", width=max(1, widths[column]))
        for row in self.rows:
            result.add_row(*(Text(printable(row[column])) for column in columns))
        return result


GAP = 2
"""Columns of the screen between those of a table."""


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = ()) -> Sheet:
    """A plain table; the columns `numeric` are aligned to the right.

    Figures, names (the first column) and words stay whole: what is too wide for that is printed as several tables.
    """
    return Sheet(title, headings, rows, numeric)
