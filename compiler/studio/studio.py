"""The Studio itself: what was chosen, what was found, what is running; one for all windows.

Every part of the page is a panel with a version. A window asks which versions there are, and for the panels that are
new; so windows show the same, and one that is closed or loaded again takes nothing with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from ...hdl.errors import InputError, OptionError
from ...hdl.staging import replacement
from ..output.build_folder import write_json
from . import commands, uploads
from .builds import Builds
from .pipeline import Pipeline
from .settings import Settings, models_in, read_settings, samples_in, texts_of
from .worker import Worker

PANELS = ("files", "network", "samples", "estimates", "pipeline", "builds")
EXAMPLE = ("digits.nir", "digits_calibration.npz")
"""Of the package's examples: a network and samples to begin with."""

TICK_SECONDS = 1.0
"""After which a running step is shown again, for its time."""

_OF_FILES = {"model", "samples", "dialect", "dt", "reset"}
_OF_ESTIMATES = _OF_FILES | {"target", "method", "sparsity", "bits"}
_SHOWN = (("files", _OF_FILES), ("builds", {"samples"}))
"""What panels show of the settings, beside those whose figures depend on them."""


class Studio:
    """The Studio of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        (self.folder / commands.HIDDEN).mkdir(parents=True, exist_ok=True)
        self._kept = self.folder / commands.HIDDEN / "settings.json"
        self._mutex = threading.RLock()
        self.settings = read_settings(self._kept)
        self.versions = dict.fromkeys(PANELS, 1)
        self.found: dict[str, dict[str, Any]] = {}
        self.busy: set[str] = set()
        self._ticked = 0.0
        self.builds = Builds(self.folder)
        self.pipeline = Pipeline(self.folder, self._moved, steps_of)
        self.worker = Worker(self.folder, self._answered)
        self._forget_missing()
        self._ask(("network", "samples", "estimates"))

    def close(self) -> None:
        """Stop what runs; what is finished stays."""
        self.pipeline.stop()
        self.worker.close()

    # -- what a page may ask for -------------------------------------------------------------------------------

    def choose(self, given: Mapping[str, str]) -> None:
        """Change settings, and ask for the figures that depend on them. Raises OptionError."""
        with self._mutex:
            before, self.settings = self.settings, self.settings.changed(given)
            changed = {name for name, value in self.settings.data().items() if before.data()[name] != value}
            if not changed:
                return
            self._touch("pipeline", *(panel for panel, names in _SHOWN if names & changed))
            write_json(self._kept, self.settings.data())
        kinds = (("network", _OF_FILES), ("samples", _OF_FILES), ("estimates", _OF_ESTIMATES))
        self._ask(kind for kind, names in kinds if names & changed)

    def upload(self, name: str, length: int, stream: uploads.Stream) -> None:
        """Take a file and choose it. Raises InputError, OSError."""
        file = uploads.receive(self.folder, name, length, stream)
        kind = "model" if file in models_in(self.folder) else "samples"
        self._touch("files")
        self.choose({kind: file})

    def load_example(self) -> None:
        """Put the package's example into the folder and choose it."""
        for name in EXAMPLE:
            if not (self.folder / name).exists():
                content = files("spikeloom.examples").joinpath(name).read_bytes()
                with replacement(self.folder / name) as temporary:
                    temporary.write_bytes(content)
        self._touch("files")
        self.choose({"model": EXAMPLE[0], "samples": EXAMPLE[1]})

    def start(self) -> None:
        """Start the pipeline. Raises OptionError."""
        network = self.found.get("network", {})
        if not self.settings.model or "level" not in network:
            raise OptionError("a pipeline starts with a network: load one, and wait until it is shown")
        wish = {
            "settings": self.settings.data(),
            "integer": network["level"] == "integer",
            "weights": network["weights"],
        }
        self.pipeline.start(steps_of(wish), wish)

    def run(self, build: str, *, simulated: bool) -> None:
        """Run the samples on a build. Raises OptionError."""
        if not self.settings.samples:
            raise OptionError("a run needs samples: none are chosen; load some")
        wish = {"settings": self.settings.data(), "build": build, "simulated": simulated}
        self.pipeline.start(steps_of(wish), wish)

    def state(self) -> dict[str, Any]:
        """What a window asks for all the time."""
        with self._mutex:
            if self.pipeline.running and time.monotonic() - self._ticked > TICK_SECONDS:
                self._ticked = time.monotonic()
                self._touch("pipeline")
            return {
                "versions": dict(self.versions),
                "settings": self.settings.data(),
                "busy": sorted(self.busy),
                "running": self.pipeline.running,
            }

    def files(self) -> dict[str, list[str]]:
        """The files that may be chosen."""
        return {"models": models_in(self.folder), "samples": samples_in(self.folder)}

    # -- what happens by itself --------------------------------------------------------------------------------

    def _ask(self, kinds: Any) -> None:
        settings = self.settings
        for kind in kinds:
            wanted = settings.samples and settings.model if kind == "samples" else settings.model
            with self._mutex:
                if wanted:
                    self.busy.add(kind)
                else:
                    self.found.pop(kind, None)
                self._touch(kind)
            if wanted:
                self.worker.ask(kind, settings)

    def _answered(self, kind: str, settings: Settings, found: dict[str, Any], last: bool) -> None:
        with self._mutex:
            self.found[kind] = found if found or not last else self.found.get(kind, {})
            if last and (settings == self.settings or kind not in self.worker.waiting):
                self.busy.discard(kind)
            self._touch(kind, *(("pipeline",) if kind == "network" else ()))

    def _moved(self) -> None:
        self._touch("pipeline", "builds")

    def _touch(self, *panels: str) -> None:
        with self._mutex:
            for panel in panels:
                self.versions[panel] += 1

    def _forget_missing(self) -> None:
        """Files that were chosen once and are gone."""
        gone = {n: "" for n in ("model", "samples") if not (self.folder / getattr(self.settings, n)).is_file()}
        self.settings = self.settings.changed(gone)


def steps_of(wish: dict[str, Any]) -> tuple[commands.Step, ...]:
    """The steps of what was asked for, whose every part is checked."""
    data = wish["settings"]
    if not isinstance(data, dict):
        raise InputError("a record holds settings")
    settings = Settings().changed(texts_of(data))
    if "build" in wish:
        build = Settings().changed({"build": str(wish["build"])}).build
        return commands.running(settings, build, simulated=bool(wish["simulated"]))
    return commands.pipeline(settings, integer=bool(wish["integer"]), weights=bool(wish["weights"]))
