"""The page and its panels as HTML. Everything that comes from a file is escaped, by the templates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Template

from ...boards.boards import all_boards
from ...boards.devices import DEVICES
from ..names import DIALECTS, METHODS, RESETS
from ..report.sheet import templates
from ..report.wording import resource_names
from . import commands
from .settings import WIDTHS
from .studio import Studio

STATES = {"waiting": "waits", "running": "runs", "done": "done", "failed": "failed", "stopped": "stopped"}


def page(studio: Studio) -> str:
    """The page that a window loads. What becomes new while it is rendered is fetched again: versions come first."""
    versions = dict(studio.versions)
    return _template("page.html").render(
        folder=str(studio.folder),
        boards=[(board.id, f"{board.name} ({board.device.id})") for board in all_boards()],
        devices=[(device.id, device.name) for device in DEVICES.values()],
        methods=METHODS,
        widths=WIDTHS,
        settings=studio.settings,
        versions=versions,
        panels={name: panel(studio, name) for name in _CONTEXTS},
    )


def panel(studio: Studio, name: str) -> str:
    """One panel, as it is now."""
    context = _CONTEXTS[name](studio)
    found = studio.found.get(name, {})
    return _template(f"{name}.html").render(
        found=found, busy=name in studio.busy, settings=studio.settings, typed=commands.typed, **context
    )


def _network(studio: Studio) -> dict[str, Any]:
    return {"line": commands.inspecting(studio.settings)}


def _samples(studio: Studio) -> dict[str, Any]:
    return {"line": commands.simulating(studio.settings)}


def _files(studio: Studio) -> dict[str, Any]:
    return studio.files() | {"dialects": DIALECTS, "resets": RESETS}


def _estimates(studio: Studio) -> dict[str, Any]:
    found, settings = studio.found.get("estimates", {}), studio.settings
    both: tuple[str, ...] = ("compressed", "plain")
    sides = [side for side in both if side in found]
    good = {side: found[side] for side in sides if "problem" not in found[side]}
    integer = bool(found.get("integer"))
    command = commands.estimating(settings, compressed=not integer or bool(found.get("weights")), integer=integer)
    plain = commands.estimating(settings, compressed=False, integer=integer)
    return {
        "sides": sides,
        "first": found.get(sides[0], {}) if sides else {},
        "good": good,
        "rows": _resources(good),
        "commands": [command] if command == plain else [command, plain],
    }


def _resources(sides: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each resource that one of the sides uses: its name, what there is, and of each side how much it takes,
    as a share too."""
    if not sides:
        return []
    family = next(iter(sides.values()))["family"]
    rows = []
    for key, name in resource_names(family).items():
        entries = {side: data["resources"][key] for side, data in sides.items()}
        if any(entry["estimated"] for entry in entries.values()):
            most = max(max(entry["estimated"], entry["available"] or 0) for entry in entries.values())
            used = {
                side: (entry["estimated"], 100 * entry["estimated"] / most, entry["available"])
                for side, entry in entries.items()
            }
            rows.append({"name": name, "used": used, "available": next(iter(entries.values()))["available"]})
    return rows


def _pipeline(studio: Studio) -> dict[str, Any]:
    line, network = studio.pipeline, studio.found.get("network", {})
    planned: tuple[commands.Step, ...] = ()
    if "level" in network and studio.settings.model:
        integer = network["level"] == "integer"
        planned = commands.pipeline(studio.settings, integer=integer, weights=network["weights"])
    return {
        "steps": line.steps,
        "log": list(line.log),
        "running": line.running,
        "resumable": line.resumable,
        "planned": planned,
        "states": STATES,
    }


def _builds(studio: Studio) -> dict[str, Any]:
    return {"builds": studio.builds.all(), "running": studio.pipeline.running, "reporting": commands.reporting}


_CONTEXTS: dict[str, Callable[[Studio], dict[str, Any]]] = {
    "files": _files,
    "network": _network,
    "samples": _samples,
    "estimates": _estimates,
    "pipeline": _pipeline,
    "builds": _builds,
}


def _template(name: str) -> Template:
    return templates(Path(__file__).parent).get_template(name)
