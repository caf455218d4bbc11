"""Write a network as a NIR file that other tools can read and that `read_nir` gives back without loss."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import nir
import numpy.typing as npt

from ....hdl.errors import InputError, ModelError, quoted
from ....hdl.staging import replacement
from ...ir.network import Network
from ...ir.verifier import verify
from .layer_nodes import OWN_TYPES
from .metadata import network_metadata
from .nodes import NirNode
from .view import view


def write_nir(network: Network, path: str | Path) -> None:
    """Write a float or integer network to the NIR file `path`, which appears complete or not at all.

    The nodes are the real-valued view of the network (`view`); the metadata holds it exactly. The same network
    gives the same bytes. Raises ModelError for a network that breaks the IR's rules and InputError where the file
    cannot be written.
    """
    verify(network)
    _check_texts(network)
    graph = view(network)
    nodes = {name: _library_node(node) for name, node in graph.nodes.items()}
    metadata = {"spikeloom": network_metadata(network)}
    _write(nir.NIRGraph(nodes, list(graph.edges), metadata=metadata, type_check=False), Path(path))


def _library_node(node: NirNode) -> Any:
    fields = dict(node.fields)
    if node.type == "Input":
        return nir.Input(input_type=fields["shape"])
    if node.type == "Output":
        return nir.Output(output_type=fields["shape"])
    if node.type == "Flatten":
        start, end = (int(fields.pop(name)) for name in ("start_dim", "end_dim"))
        return nir.Flatten(input_type=fields["input_type"], start_dim=start, end_dim=end)
    if node.type in OWN_TYPES:
        return _own_node(node.type, fields)
    if node.type in ("Conv1d", "Conv2d"):
        fields |= {name: _number(value) for name, value in fields.items() if name not in ("weight", "bias")}
    return getattr(nir, node.type)(**fields, **({"metadata": dict(node.metadata)} if node.metadata else {}))


def _own_node(kind: str, fields: dict[str, Any]) -> Any:
    """A node of a type that NIR does not have; a library that knows it not refuses it by its name."""
    node = dataclasses.make_dataclass(kind, fields, bases=(nir.NIRNode,), eq=False)(**fields)
    node.input_type, node.output_type = {"input": None}, {"output": None}
    return node


def _number(value: npt.NDArray[Any]) -> Any:
    return tuple(value.tolist()) if value.ndim else int(value)


def _check_texts(network: Network) -> None:
    """HDF5 holds text as UTF-8 that ends at a zero byte."""
    for text in (network.name, network.dialect, *(p.name for p in network.populations)):
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise ModelError(f"names are Unicode text without NUL: got {quoted(text)}; rename it")


def _write(graph: Any, path: Path) -> None:
    image = io.BytesIO()  # a disk that is full while HDF5 writes to it ends the process
    try:
        nir.write(image, graph)
        with replacement(path) as part:
            part.write_bytes(image.getvalue())
    except OSError as error:
        raise InputError(
            f"the file must be writable: {quoted(str(path))} is not ({error.strerror or error})"
        ) from error
