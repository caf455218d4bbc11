"""What other tools' metadata says about the conventions.

NIR metadata has no schema, so that a word in it may mean anything. Taken over are a time step and a reset that cannot
be misread; whatever else seems to speak of them is named, and the user asked. Other entries are not our concern.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from ....hdl.errors import OptionError, quoted
from ...names import RESETS
from .dialects import Dialect, Options
from .hdf5_guard import CheckedFile
from .nodes import NirGraph

_OWN = "spikeloom"
_FIRING = ("IF", "LIF", "CubaLIF")
_RESETS = {"reset": RESETS, "resetmechanism": ("subtract", "zero")}
"""Entries that name a reset, and the words that we take: our own, and the arguments of snnTorch's neurons."""

_STEP = re.compile(r"dt[munp]?s?(ec(onds)?)?|.*(timestep|deltat|timeresolution|stepsize|simdt)(ms|us|s)?")
"""Entries that may speak of the time step, without case and punctuation; only `dt` alone is in our unit for sure."""

_FLAGS = {
    "dt": "--dt SECONDS",
    "reset": "--reset subtract|zero|value",
    "reset_delay": "--reset-delay or --no-reset-delay",
}


@dataclass(frozen=True)
class _Mention:
    """An entry that speaks of the option `option`: where it stands, and its value, None where it cannot be taken."""

    option: str
    key: str
    node: str | None
    value: Any
    shown: str

    @property
    def place(self) -> str:
        where = "of the graph" if self.node is None else f"of node {quoted(self.node)}"
        return f"{quoted(self.key)} in the metadata {where} is {self.shown}"


def foreign_options(file: CheckedFile, graph: NirGraph, dialect: Dialect, known: Options) -> Options:
    """The time step and the reset in the metadata of the graph and its nodes, where `known` leaves them open.

    A warning says what was taken. Raises OptionError, naming the entry and the option to give, for one that may speak
    of them and is not unmistakable: another unit or word, places that disagree, nodes of which only some say it.
    """
    mentions = [m for m in _mentions(file, graph) if getattr(known, m.option) is None]
    taken = {}
    for option in _FLAGS:
        if about := [m for m in mentions if m.option == option]:
            taken[option] = _agreed(option, about, graph, dialect)
    if taken:
        said = " and ".join(f"{option} {value}" for option, value in taken.items())
        flags = " and ".join(_FLAGS[option] for option in taken)
        warnings.warn(f"the file's metadata says {said}, which is taken; {flags} would override it", stacklevel=5)
    return Options(**taken)


def _agreed(option: str, about: list[_Mention], graph: NirGraph, dialect: Dialect) -> Any:
    for mention in about:
        if mention.value is None:
            raise _asked(option, mention.place)
        if mention.value != about[0].value:
            raise _asked(option, f"{about[0].place}, {mention.place}")
    value = about[0].value
    if option == "dt" and not dialect.dt_in_seconds and value != dialect.dt:
        raise _asked(option, f"{about[0].place}, and {dialect.name} counts time in steps")
    if option != "dt" and all(mention.node is not None for mention in about):
        silent = {name for name, node in graph.nodes.items() if node.type in _FIRING} - {m.node for m in about}
        if silent:
            raise _asked(option, f"{about[0].place}, and node {quoted(min(silent))} says nothing of it")
    return value


def _asked(option: str, what: str) -> OptionError:
    return OptionError(f"the metadata of another tool is taken where it is unmistakable: {what}; give {_FLAGS[option]}")


def _mentions(file: CheckedFile, graph: NirGraph) -> Iterator[_Mention]:
    yield from _entries(file, file.root.get("node/metadata"), None)
    places = {name: node.path for name, node in graph.nodes.items()} | dict(graph.subgraphs)
    for name, path in sorted(places.items()):
        yield from _entries(file, file.root[path].get("metadata"), name)


def _entries(file: CheckedFile, group: Any, node: str | None) -> Iterator[_Mention]:
    if not isinstance(group, h5py.Group):
        return
    for key in sorted(group):
        item = group[key]
        if isinstance(item, h5py.Group):
            if key != _OWN:
                yield from _entries(file, item, node)
            continue
        if (option := _option(_plain(key))) is not None:
            value = _value(file, item)
            shown = quoted(value) if value is not None else f"of shape {item.shape}"
            yield _Mention(option, key, node, _taken(_plain(key), value), shown)


def _plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())


def _option(key: str) -> str | None:
    """The option that an entry of this name speaks of."""
    if _STEP.fullmatch(key):
        return "dt"
    if key == "resetdelay":
        return "reset_delay"
    return "reset" if re.search("(?<!p)reset", key) else None  # a preset is none


def _taken(key: str, value: Any) -> Any:
    """The value as our option has it, or None."""
    if key == "dt":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if number and np.isfinite(value) and value > 0 else None
    if key == "resetdelay":
        return value if isinstance(value, bool) else None
    return value if isinstance(value, str) and value in _RESETS.get(key, ()) else None


def _value(file: CheckedFile, item: h5py.Dataset) -> Any:
    """One number, string or boolean as Python's; None for anything else."""
    if item.dtype.kind in "OS":
        return file.text(item) if item.shape == () else None
    return file.array(item).reshape(-1)[0].item() if item.shape in ((), (1,)) else None
