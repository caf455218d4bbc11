"""A report with what its build folder adds: when, with what and by which options it was made, and what was verified."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ..output.build_folder import MANIFEST, BuildFolder
from ..output.verified import verifications
from .report import check_report

_SHOWN = (
    *("board", "device", "method", "sparsity", "bits", "scheme", "minimise", "latency_us", "samples_per_s", "wide"),
    *("weights", "clock_mhz", "baud", "native_tools", "verilog_only"),
)
"""Options of a manifest that are shown where they say something; the seed always is."""

_DEFAULTS: Mapping[str, Any] = {"weights": "auto"}


def report_of(build: BuildFolder) -> dict[str, Any]:
    """The report of a build, checked, with `verified` and `build` (docs/report.md). Raises InputError."""
    report = check_report(build.report())
    return report | {"verified": verifications(build), "build": _about(build)}


def _about(build: BuildFolder) -> dict[str, str]:
    """Names and texts. A manifest has no time in it, so that equal builds are equal: the file's own tells."""
    made = datetime.fromtimestamp((build.path / MANIFEST).stat().st_mtime, UTC)
    tools = dict(build.manifest["tools"])
    version = tools.pop("spikeloom", None)
    about = {"Date": made.strftime("%Y-%m-%d %H:%M UTC")}
    if version is not None:
        about["Spikeloom"] = str(version)
    about["Tools"] = ", ".join(f"{name} {version}" for name, version in tools.items())
    about["Options"] = _options(build.options)
    if (seed := build.options.get("seed")) is not None:
        tried = build.options.get("seeds", 1)
        placed = build.options.get("placed_seed", seed)
        about["Seed"] = f"{placed}, the fastest of {tried} from {seed} on" if tried != 1 else str(placed)
    about |= {f"SHA-256 of {role}": str(entry.get("sha256")) for role, entry in build.manifest["inputs"].items()}
    return {name: text for name, text in about.items() if text}


def _options(options: Mapping[str, Any]) -> str:
    """As they would be written on a command line, about."""
    given = {name: options.get(name) for name in _SHOWN if options.get(name) != _DEFAULTS.get(name)}
    texts = [
        f"{name.replace('_', '-')} {shlex.quote(str(value))}" if value is not True else name.replace("_", "-")
        for name, value in given.items()
        if value not in (None, False)
    ]
    if isinstance(coding := options.get("coding"), dict):
        texts.append(f"encoder {coding.get('encoder')}, {coding.get('steps')} steps, decoder {coding.get('decoder')}")
    return ", ".join(texts)
