"""A page of figures: tiles, then sections of plots and tables, as `page.html` and `page.css` lay them out.

No scripts, no external resources, readable in light and dark, on paper and on a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .wording import number


@dataclass(frozen=True)
class Tile:
    """A figure that is seen first."""

    name: str
    figure: str
    note: str


@dataclass(frozen=True)
class Table:
    """Cells as text; the columns `numeric` hold figures."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[int] = ()


@dataclass(frozen=True)
class Section:
    """Plots, a table, and a sentence on them without its full stop."""

    title: str
    note: str
    plots: Sequence[Markup] = ()
    table: Table | None = None


def render_page(
    *,
    title: str,
    subtitle: str,
    tiles: Sequence[Tile],
    warnings: Sequence[str],
    sections: Sequence[Section],
    footer: str,
) -> str:
    """The page. All text is escaped, by the template."""
    return (
        templates(Path(__file__).parent)
        .get_template("page.html")
        .render(title=title, subtitle=subtitle, tiles=tiles, warnings=warnings, sections=sections, footer=footer)
    )


@cache
def templates(folder: Path) -> Environment:
    """The templates in a folder. They escape all that they are given, and refuse a name that they are not given."""
    pages = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["number"] = number
    return pages
