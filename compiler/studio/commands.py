"""The commands that do what the Studio does, as they would be typed in its folder."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from .settings import Settings

BUILDS = "build"
"""The folder of builds in the Studio's folder."""

HIDDEN = ".studio"
"""The folder of what the Studio keeps for itself."""

VERIFIED_SAMPLES = 20
"""Samples that a pipeline's regression runs."""

PORT = "PORT"
"""Stands for the port of the board that runs beside a command."""

Command = tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """A command of a pipeline; its `output`, where it makes one, is kept when the pipeline goes on later.

    `beside` is a command that runs as long: it says in its first line which PORT this one takes.
    """

    name: str
    command: Command
    output: str | None = None
    beside: Command | None = None

    @property
    def text(self) -> str:
        """As it would be typed."""
        lines = [typed(self.beside) + " &"] if self.beside is not None else []
        return "\n".join([*lines, typed(self.command)])


def typed(command: Sequence[str]) -> str:
    """A command as a person types it."""
    return shlex.join(("spikeloom", *command))


def inspecting(settings: Settings) -> Command:
    """What shows the network."""
    return ("inspect", _file(settings.model), *_conventions(settings))


def simulating(settings: Settings) -> Command:
    """What runs the samples through the network as it came."""
    return ("simulate", _file(settings.model), "--data", _file(settings.samples), *_conventions(settings))


def estimating(settings: Settings, *, compressed: bool, integer: bool) -> Command:
    """What says what a design should cost."""
    return (
        *("estimate", _file(settings.model), *_target(settings), *_data(settings)),
        *_compression(settings, compressed=compressed, integer=integer),
        *_conventions(settings),
    )


def pipeline(settings: Settings, *, integer: bool, weights: bool) -> tuple[Step, ...]:
    """From the network to a build that is verified: compress, compile, regress, and a build without compression where
    that is wanted. An `integer` network is built as it is, unless it came as `weights`, which may be compressed."""
    built, model = f"{BUILDS}/{settings.build}", settings.model
    steps = []
    compresses = weights or not integer
    if compresses and settings.samples:
        model = f"{HIDDEN}/{settings.build}.nir"
        chosen = _compression(settings, compressed=True, integer=False)
        command = ("compress", _file(settings.model), *_data(settings), *chosen, *_target(settings))
        steps.append(Step("Compress", (*command, *_conventions(settings), "--output", model, "--force"), model))
        command = ("compile", model, *_target(settings), *_data(settings), "--output", built)
    else:
        chosen = _compression(settings, compressed=compresses, integer=integer)
        command = ("compile", _file(model), *_target(settings), *_data(settings), *chosen, *_conventions(settings))
        command = (*command, "--output", built)
    steps.append(Step("Compile to a bitstream", command, built))
    if settings.samples:
        check = ("regress", built, *_data(settings), "--limit", str(VERIFIED_SAMPLES))
        steps.append(Step("Verify the Verilog", check))
    if settings.plain and compresses:
        chosen = _compression(settings, compressed=False, integer=integer)
        command = ("compile", _file(settings.model), *_target(settings), *_data(settings), *chosen)
        plain = f"{built}-plain"
        steps.append(Step("Compile without compression", (*command, *_conventions(settings), "--output", plain), plain))
    return tuple(steps)


def running(settings: Settings, build: str, *, simulated: bool) -> tuple[Step, ...]:
    """A build on the simulated board, or on the one that is plugged in, compared with the reference."""
    folder = f"{BUILDS}/{build}"
    command = ("run", folder, "--port", PORT if simulated else "auto", *_data(settings))
    beside = ("board", folder) if simulated else None
    name = "Run on the simulated board" if simulated else "Run on the board"
    return (Step(name, (*command, "--limit", str(VERIFIED_SAMPLES), "--check"), beside=beside),)


def reporting(builds: Sequence[str]) -> Command:
    """What shows builds."""
    return ("report", *(f"{BUILDS}/{build}" for build in builds), "--html", "report.html")


def _file(name: str) -> str:
    """A file's name that is no option."""
    return f"./{name}" if name.startswith("-") else name


def _target(settings: Settings) -> Command:
    return ("--board" if settings.is_board else "--device", settings.target)


def _data(settings: Settings) -> Command:
    return ("--data", _file(settings.samples)) if settings.samples else ()


def _compression(settings: Settings, *, compressed: bool, integer: bool) -> Command:
    """The options of `Settings.options`."""
    if not compressed:
        return () if integer else ("--method", "magnitude", "--bits", "8")
    return ("--method", settings.method, "--sparsity", f"{settings.sparsity:g}", "--bits", str(settings.bits))


def _conventions(settings: Settings) -> Command:
    said = (("--dialect", settings.dialect), ("--dt", settings.dt), ("--reset", settings.reset))
    return tuple(part for option, value in said if value for part in (option, value))
