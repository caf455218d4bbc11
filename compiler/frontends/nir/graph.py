"""The graph of a NIR file as data: typed nodes with their arrays, edges and Spikeloom's own metadata.

Read by our own code, not by `nir.read`: from the checked file itself, only the fields that a node type has, and with
parameters of mixed shapes and batch axes, which the library refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError, quoted
from ...ir.neurons import MODELS
from .hdf5_guard import CheckedFile
from .nodes import NirGraph, NirNode
from .subgraphs import NestedGraph, flat

_CONVOLUTION = (("weight", "stride", "padding", "dilation", "groups", "bias"), ("input_shape",))
_POOLING = (("kernel_size", "stride", "padding"), ())

FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Input": (("shape",), ()),
    "Output": (("shape",), ()),
    "Linear": (("weight",), ()),
    "Affine": (("weight", "bias"), ()),
    "Conv1d": _CONVOLUTION,
    "Conv2d": _CONVOLUTION,
    "SumPool2d": _POOLING,
    "AvgPool2d": _POOLING,
    "MaxPool2d": _POOLING,
    "Pad2d": (("padding",), ()),
    "Scale": (("scale",), ()),
    "Threshold": (("threshold",), ()),
    "Flatten": (("start_dim", "end_dim"), ("input_type",)),
    "Delay": (("delay",), ()),
    **{
        kind.value: (tuple(name for name in model.nir if name not in model.nir_optional), model.nir_optional)
        for kind, model in MODELS.items()
    },
}
"""The node types whose data is read: the fields that a node must and may have. Other types keep only their name."""

MAY_BE_INFINITE = ("tau", "tau_mem", "tau_syn", "r", "w_in")
"""snnTorch writes a neuron without leak (beta = 1) as tau = r = infinity."""


def read_graph(file: CheckedFile) -> NirGraph:
    """The graph of a checked file, without subgraphs (`subgraphs`).

    Raises ModelError where it is no NIR graph or a node lacks what its type needs.
    """
    root = file.root.get("node")
    if not isinstance(root, h5py.Group) or not isinstance(root.get("type"), h5py.Dataset):
        raise ModelError("a NIR file holds a graph in the group 'node': there is none; write the file with nir.write")
    if (kind := file.text(root["type"])) != "NIRGraph":
        raise ModelError(
            f"a NIR file holds a graph of nodes and edges: it holds a {quoted(kind)}; wrap it in a NIRGraph"
        )
    graph = flat(_read_nested(file, root, "the file's graph"))
    version = file.root.get("version")
    text = isinstance(version, h5py.Dataset) and version.shape == () and version.dtype.kind in "OS"
    written_by = file.text(version) if text else ""
    return replace(graph, nir_version=written_by)


def spikeloom_metadata(file: CheckedFile) -> h5py.Group | None:
    """The group that holds Spikeloom's metadata of the graph, if the file has one."""
    group = file.root.get("node/metadata/spikeloom")
    return group if isinstance(group, h5py.Group) else None


def _read_nested(file: CheckedFile, group: h5py.Group, title: str) -> NestedGraph:
    groups, edges = group.get("nodes"), group.get("edges")
    if not isinstance(groups, h5py.Group) or not isinstance(edges, h5py.Dataset):
        raise ModelError(f"a NIRGraph is a graph of nodes and edges: {title} lacks them; write the file again")
    nodes = {name: _read_node(file, name, groups[name]) for name in sorted(groups)}
    return NestedGraph(nodes, _read_edges(file, edges, nodes), group.name)


def _read_node(file: CheckedFile, name: str, group: h5py.Group | h5py.Dataset) -> NirNode | NestedGraph:
    if any("\ud800" <= character <= "\udfff" for character in name):  # how h5py decodes what is not UTF-8
        raise ModelError(f"names are UTF-8: node {quoted(name)} is not; rename it")
    if not isinstance(group, h5py.Group) or not isinstance(group.get("type"), h5py.Dataset):
        raise ModelError(f"a NIR node has a type: {quoted(name)} has none; names must not contain '/'")
    kind = file.text(group["type"])
    if kind == "NIRGraph":
        return _read_nested(file, group, f"node {quoted(name)}")
    if kind not in FIELDS:
        return NirNode(kind, {}, group.name)
    required, optional = FIELDS[kind]
    present = set(group) - {"type", "metadata"}
    for field in required:
        if field not in present:
            raise ModelError(f"a NIR {kind} has {', '.join(required)}: node {quoted(name)} lacks {field}; add it")
    for field in sorted(present - {*required, *optional}):
        raise ModelError(
            f"a NIR {kind} has {', '.join((*required, *optional))}: node {quoted(name)} has {quoted(field)} besides, "
            "whose meaning is not known; remove it"
        )
    fields = {field: _read_field(file, name, field, group[field]) for field in sorted(present)}
    return NirNode(kind, fields, group.name)


def _read_field(file: CheckedFile, name: str, field: str, item: h5py.Group | h5py.Dataset) -> npt.NDArray[Any]:
    if not isinstance(item, h5py.Dataset):
        raise ModelError(f"a node's fields are arrays: {field} of node {quoted(name)} is a group; write the file again")
    if field == "padding" and item.dtype.kind in "OS" and item.shape == ():
        return np.array(file.text(item))  # "same" or "valid"
    array = file.array(item)
    if np.isnan(array).any() or (field not in MAY_BE_INFINITE and not np.isfinite(array).all()):
        raise ModelError(
            f"numbers are finite: {field} of node {quoted(name)} holds NaN or Inf; retrain or repair the model"
        )
    return array


def _read_edges(file: CheckedFile, dataset: h5py.Dataset, nodes: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    if dataset.size == 0:
        raise ModelError("a NIR graph has edges: this one has none; connect its nodes")
    if len(dataset.shape) != 2 or dataset.shape[1] != 2:
        raise ModelError(f"edges are pairs of node names: they have the shape {dataset.shape}; write the file again")
    edges = sorted((row[0], row[1]) for row in file.text_rows(dataset))
    for index, edge in enumerate(edges):
        for end in edge:
            if end not in nodes:
                raise ModelError(
                    f"an edge joins two nodes: {quoted(edge[0])} -> {quoted(edge[1])} names {quoted(end)}, "
                    "which does not exist; correct the edge"
                )
        if index and edge == edges[index - 1]:
            raise ModelError(f"an edge stands once: {quoted(edge[0])} -> {quoted(edge[1])} is repeated; remove one")
    return tuple(edges)
