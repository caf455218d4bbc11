"""What a person has chosen in the Studio: one record, checked, kept in the folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from ...boards.boards import all_boards
from ...boards.devices import DEVICES
from ...hdl.errors import OptionError, quoted
from ...hdl.files import read_regular
from ..flow.options import CompileOptions
from ..frontends.snntorch.checkpoint import SUFFIXES, is_checkpoint
from ..frontends.weights import holds_weights
from ..names import DIALECTS, METHODS, RESETS

MODELS = (".nir", ".npz", *SUFFIXES)
"""Of files that may hold a network."""

WIDTHS = (2, 3, 4, 5, 6, 7, 8, 16)
"""Bits of a weight that the fixed-point scheme has a format for (docs/compression.md)."""

MAX_FILES = 500
"""Of a folder, that are offered."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`model` and `samples` are names of files in the folder, empty where nothing is chosen; `target` is a board or a
    device; `build` names the build folder; `plain` asks the pipeline for a build without compression besides."""

    model: str = ""
    samples: str = ""
    target: str = "icebreaker"
    method: str = "magnitude"
    sparsity: float = 0.5
    bits: int = 4
    dialect: str = ""
    dt: str = ""
    reset: str = ""
    build: str = "design"
    plain: bool = False

    def changed(self, given: Mapping[str, str]) -> Settings:
        """With what a page says, by names of fields. Raises OptionError."""
        checked = {name: _checked(name, str(text)) for name, text in given.items()}
        return replace(self, **checked)

    def data(self) -> dict[str, Any]:
        """As JSON data."""
        return asdict(self)

    @property
    def conventions(self) -> dict[str, Any]:
        """What the reader of models is told besides."""
        return {
            "dialect": self.dialect or None,
            "dt": float(self.dt) if self.dt else None,
            "reset": self.reset or None,
        }

    def options(self, *, compressed: bool, integer: bool = False) -> CompileOptions:
        """Of a compilation, with the compression that was chosen or, of a float network, with 8 bits alone.

        An `integer` network is taken as it is.
        """
        how: dict[str, Any] = {"board" if self.is_board else "device": self.target}
        if compressed:
            how |= {"method": self.method, "sparsity": self.sparsity, "bits": self.bits}
        elif not integer:
            how |= {"method": "magnitude", "bits": 8}
        return CompileOptions(**how)

    @property
    def is_board(self) -> bool:
        """Whether the target is a board."""
        return self.target in {board.id for board in all_boards()}


def _checked(name: str, text: str) -> Any:
    """One field's value; OptionError says what it must be."""
    choices: dict[str, tuple[str, ...]] = {
        "target": (*(board.id for board in all_boards()), *DEVICES),
        "method": METHODS,
        "dialect": ("", *DIALECTS),
        "reset": ("", *RESETS),
        "plain": ("true", "false"),
        "bits": tuple(map(str, WIDTHS)),
    }
    if name not in {field.name for field in fields(Settings)}:
        raise OptionError(f"a setting is one of the page's: {quoted(name)} is none; reload the page")
    if name in choices:
        if text not in choices[name]:
            raise OptionError(f"{name} is one of {', '.join(filter(None, choices[name]))}: got {quoted(text)}")
        return text == "true" if name == "plain" else int(text) if name == "bits" else text
    if name == "sparsity":
        return _number(name, text, 0.0, 0.999)
    if name == "dt":
        return "" if not text else f"{_number(name, text, 1e-12, 1e6):g}"
    if name == "build" and not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,59}", text):
        raise OptionError(f"a build's name is letters, digits, dots, dashes: got {quoted(text)}; choose such a name")
    if name in ("model", "samples") and (text != Path(text).name or text.startswith(".")):
        raise OptionError(f"a file is one of the Studio's folder: {quoted(text)} is not; load it")
    return text


def _number(name: str, text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise OptionError(f"{name} is a number from {least:g} to {most:g}: got {quoted(text)}")
    return value


def read_settings(path: Path) -> Settings:
    """Those that a folder keeps; the default ones where it has none or they are damaged."""
    import json

    try:
        data = json.loads(read_regular(path, "settings", 1 << 16))
        known = {field.name for field in fields(Settings)}
        return Settings().changed({name: text for name, text in texts_of(data).items() if name in known})
    except (OSError, ValueError, AttributeError, OptionError, RecursionError):
        return Settings()


def texts_of(data: Mapping[str, Any]) -> dict[str, str]:
    """JSON data as a page says it, which `Settings.changed` takes."""
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in data.items()}


def models_in(folder: Path) -> list[str]:
    """The names of files that may hold a network."""
    return [name for name in _files(folder) if is_model(folder / name)]


def is_model(path: Path) -> bool:
    """Whether a file may hold a network: by its name, or by the names of its arrays."""
    return path.suffix == ".nir" or is_checkpoint(path) or holds_weights(path)


def samples_in(folder: Path) -> list[str]:
    """The names of files that may hold samples."""
    return [name for name in _files(folder) if name.endswith(".npz") and not holds_weights(folder / name)]


def _files(folder: Path) -> list[str]:
    found = [path.name for path in folder.iterdir() if path.suffix in MODELS and path.is_file()]
    return sorted(name for name in found if not name.startswith("."))[:MAX_FILES]
