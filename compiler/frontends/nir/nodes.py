"""What a NIR graph is, as data: typed nodes with their arrays, and edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

NodeFields = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class NirNode:
    """A node: its NIR type and its fields, empty for a type whose data is not read; `path` is its place in its file,
    `metadata` what is written beside the fields for whoever looks."""

    type: str
    fields: NodeFields
    path: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class NirGraph:
    """A NIR graph without subgraphs: nodes by name, in order of their names, and edges in order.

    `nir_version` is that of the library that wrote the file, empty where it is not known; `subgraphs` are the places of
    the graphs in the file that became part of this one, by name.
    """

    nodes: Mapping[str, NirNode]
    edges: tuple[tuple[str, str], ...]
    nir_version: str = ""
    subgraphs: Mapping[str, str] = field(default_factory=dict)
