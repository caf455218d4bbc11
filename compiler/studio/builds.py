"""The builds of a folder: what there are, their reports as pages, their files to download."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...hdl.errors import InputError, OptionError, quoted
from ...hdl.files import read_regular
from ..output.build_folder import MANIFEST, MAX_OUTPUT_BYTES, BuildFolder, load_build_folder
from ..report.about import report_of
from ..report.page import render_html
from ..report.side_by_side import side_by_side_page
from .commands import BUILDS

MOST_BUILDS = 100
MOST_COMPARED = 8
BITSTREAMS = ("top.bin", "top.bit")


@dataclass(frozen=True)
class Build:
    """A build as a list shows it: its report, or what is wrong with it."""

    name: str
    report: dict[str, Any] | None
    problem: str = ""
    bitstream: str | None = None

    @property
    def figures(self) -> list[tuple[str, str]]:
        """What builds are chosen by."""
        if self.report is None:
            return []
        report = self.report
        cells, rams = report["utilization"]["lcs"], report["utilization"]["brams"]
        timing, accuracy = report["timing"], report["accuracy"]
        target = report["board"] or report["device"] or {"id": "core"}
        share = accuracy and accuracy["integer"]
        return [
            ("Target", str(target["id"])),
            ("Cells", f"{cells['used']:,}"),
            ("Block RAMs", f"{rams['used']:,}"),
            ("Fmax", "" if timing["fmax_mhz"] is None else f"{timing['fmax_mhz']:.1f} MHz"),
            ("Accuracy", "" if share is None else f"{share:.1%}"),
        ]


class Builds:
    """The builds in a Studio's folder. A report that was read stays until the build changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / BUILDS
        self._read: dict[str, tuple[int, Build]] = {}

    def all(self) -> list[Build]:
        """By name."""
        if not self._folder.is_dir():
            return []
        names = sorted(place.name for place in self._folder.iterdir() if (place / MANIFEST).is_file())
        return [self._build(name) for name in names[:MOST_BUILDS] if not name.startswith(".")]

    def page(self, name: str) -> str:
        """The report of a build as a page. Raises InputError."""
        return render_html(report_of(self._open(name)))

    def compared(self, names: list[str]) -> str:
        """Builds side by side as a page. Raises InputError, OptionError."""
        if not 2 <= len(names) <= MOST_COMPARED:
            raise OptionError(f"builds are compared 2 to {MOST_COMPARED} at a time: {len(names)} are chosen")
        return side_by_side_page(names, [report_of(self._open(name)) for name in names])

    def file(self, name: str, file: str) -> bytes:
        """A file of a build: one of those that its manifest lists, or the manifest. Raises InputError."""
        build = self._open(name)
        if file != MANIFEST and file not in build.manifest["outputs"]:
            raise InputError(f"a build's files are those that its manifest lists: {quoted(file)} is none of them")
        path = build.path / file
        if not path.resolve().is_relative_to(build.path.resolve()):
            raise InputError(f"a build's files are in its folder: {quoted(file)} leads out of it")
        return read_regular(path, "a file of a build", MAX_OUTPUT_BYTES)

    def _open(self, name: str) -> BuildFolder:
        if name != Path(name).name or name.startswith("."):
            raise InputError(f"a build is one of the Studio's folder: {quoted(name)} is none")
        return load_build_folder(self._folder / name)

    def _build(self, name: str) -> Build:
        try:
            stamp = (self._folder / name / MANIFEST).stat().st_mtime_ns
            kept = self._read.get(name)
            if kept is None or kept[0] != stamp:
                build = self._open(name)
                made = next((file for file in BITSTREAMS if file in build.manifest["outputs"]), None)
                self._read[name] = stamp, Build(name, report_of(build), bitstream=made)
            return self._read[name][1]
        except (InputError, OSError) as error:
            return Build(name, None, str(error))
