"""The two forms in which compression takes a network: a list of layers, or a `Network`.

A list holds the weights of consecutive layers, each an array (inputs, outputs) or, as `SpikingNet.to_sc_weights`
returns it, a mapping with `weight` and `bias`. Both forms are seen here as a graph of matrices between groups of
neurons, numbered from 0 for the inputs in evaluation order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ...hdl.errors import ModelError, SampleError, quoted
from ..ir.arrays import FloatArray
from ..ir.connectivity import Connectivity, Dense
from ..ir.network import INPUT, Network
from ..ir.verifier import verify

Matrix = npt.NDArray[Any]
Layer = npt.ArrayLike | Mapping[str, Any]
Rates = Sequence[npt.ArrayLike]

AnyNetwork = TypeVar("AnyNetwork", bound=Sequence[Any] | Network)
"""What is given is what comes back: a list or a Network."""


@dataclass(frozen=True, eq=False)
class Connection:
    """The weights between two groups of neurons, in their connectivity's form: a matrix (pre, post) where dense."""

    pre: int
    post: int
    weights: Matrix
    connectivity: Connectivity


@dataclass(frozen=True, eq=False)
class Graph:
    """A network as groups of neurons (0: the inputs) and the matrices between them.

    `biases` and `spiking` have an entry per group; a bias is None for the inputs and where a layer has none.
    """

    sizes: tuple[int, ...]
    connections: tuple[Connection, ...]
    biases: tuple[FloatArray | None, ...]
    spiking: tuple[bool, ...]
    names: tuple[str, ...]
    output: int

    def into(self, group: int) -> Iterator[Connection]:
        """The connections whose post group this is."""
        return (c for c in self.connections if c.post == group)


def graph_of(weights: Sequence[Any] | Network) -> Graph:
    """The graph of either form. Raises ModelError for anything else, integer networks included."""
    return _network_graph(weights) if isinstance(weights, Network) else _list_graph(weights)


def matrices_of(weights: Sequence[Any]) -> list[Matrix]:
    """The float matrices of a list of layers; ModelError for what is no such list."""
    if isinstance(weights, np.ndarray | str | bytes | Mapping) or not isinstance(weights, Sequence) or not weights:
        raise ModelError(
            f"weights are a list of arrays (inputs, outputs) or a Network: got {_kind(weights)}; put an array in a list"
        )
    return [_matrix(_weight(layer, number), number) for number, layer in enumerate(weights)]


def checked_layers(weights: Sequence[Any]) -> list[tuple[Matrix, FloatArray | None]]:
    """Matrix and bias of every layer of a list; ModelError where the layers do not follow each other."""
    graph = _list_graph(weights)
    return [(connection.weights, graph.biases[connection.post]) for connection in graph.connections]


def with_matrices(weights: AnyNetwork, matrices: Sequence[Matrix]) -> AnyNetwork:
    """The same form with other weights of the same shapes."""
    if isinstance(weights, Network):
        projections = (
            replace(p, connectivity=p.connectivity.with_weights(m))
            for p, m in zip(weights.projections, matrices, strict=True)
        )
        return replace(weights, projections=tuple(projections))
    pairs = zip(weights, matrices, strict=True)
    layers = [{**layer, "weight": m} if isinstance(layer, Mapping) else m for layer, m in pairs]
    return layers  # type: ignore[return-value]


def checked_rates(graph: Graph, rates: Rates) -> tuple[FloatArray, ...]:
    """Spikes per step of every neuron, one vector per group, the inputs' and the outputs' included.

    Raises SampleError for another number of vectors, other lengths, or values that are no rates.
    """
    vectors = [np.asarray(vector) for vector in rates]
    if len(vectors) != len(graph.sizes):
        raise SampleError(
            f"spike_rates hold one vector for each of {', '.join(graph.names)}: got {len(vectors)}; "
            "include inputs and outputs"
        )
    for vector, size, name in zip(vectors, graph.sizes, graph.names, strict=True):
        if vector.shape != (size,) or vector.dtype.kind not in "fiub":
            raise SampleError(f"spike_rates of {name} are {size} numbers: got {vector.dtype} {list(vector.shape)}")
        if not np.all((vector >= 0) & np.isfinite(vector)):
            raise SampleError(
                f"spike_rates are spikes per step, 0 or more: those of {name} are not; measure them again"
            )
    return tuple(vector.astype(np.float64) for vector in vectors)


# ----------------------------------------------------------------------------------------------------- a list


def _kind(value: object) -> str:
    return "an empty list" if isinstance(value, Sequence) and not value else f"a {type(value).__name__}"


def _weight(layer: Any, number: int) -> Any:
    if not isinstance(layer, Mapping):
        return layer
    if "weight" not in layer:
        raise ModelError(f"a layer's mapping has the key 'weight': layer {number} has {quoted(sorted(layer))}")
    return layer["weight"]


def _matrix(value: Any, number: int) -> Matrix:
    try:
        matrix = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"weights are arrays (inputs, outputs): layer {number} is none ({error})") from None
    if matrix.dtype.kind not in "fiu" or matrix.ndim != 2 or 0 in matrix.shape:
        raise ModelError(
            f"weights are arrays of numbers (inputs, outputs): layer {number} is {matrix.dtype} {list(matrix.shape)}"
        )
    if not np.isfinite(matrix).all():
        raise ModelError(f"weights are finite: layer {number} holds NaN or Inf; retrain or repair it")
    return matrix if matrix.dtype.kind == "f" else matrix.astype(np.float64)


def _list_graph(weights: Sequence[Any]) -> Graph:
    matrices = matrices_of(weights)
    for number, (before, after) in enumerate(pairwise(matrices)):
        if before.shape[1] != after.shape[0]:
            raise ModelError(
                f"layers follow each other, as (inputs, outputs): layer {number} has {before.shape[1]} outputs, layer "
                f"{number + 1} {after.shape[0]} inputs; transpose weights that are (outputs, inputs)"
            )
    biases = [
        _bias(layer, matrix, number) for number, (layer, matrix) in enumerate(zip(weights, matrices, strict=True))
    ]
    count = len(matrices)
    return Graph(
        sizes=(matrices[0].shape[0], *(m.shape[1] for m in matrices)),
        connections=tuple(Connection(n, n + 1, m, Dense(weights=m)) for n, m in enumerate(matrices)),
        biases=(None, *biases),
        spiking=(True,) * (count + 1),
        names=("the inputs", *(f"layer {number}" for number in range(count))),
        output=count,
    )


def _bias(layer: Any, matrix: Matrix, number: int) -> FloatArray | None:
    bias = layer.get("bias") if isinstance(layer, Mapping) else None
    if bias is None:
        return None
    vector = np.asarray(bias)
    if vector.shape != (matrix.shape[1],) or vector.dtype.kind not in "fiu" or not np.isfinite(vector).all():
        raise ModelError(
            f"a bias is one finite number per output: layer {number} with {matrix.shape[1]} outputs has "
            f"{vector.dtype} {list(vector.shape)}"
        )
    return vector.astype(np.float64)


# -------------------------------------------------------------------------------------------------- a network


def _network_graph(network: Network) -> Graph:
    verify(network)
    if network.is_integer:
        raise ModelError(
            f"compression starts from float weights: {quoted(network.name)} is quantised; compress it before that, "
            "or dequantise it"
        )
    populations = network.populations
    index = {INPUT: 0} | {p.name: number for number, p in enumerate(populations, 1)}
    return Graph(
        sizes=(network.input_size, *(p.size for p in populations)),
        connections=tuple(
            Connection(index[p.pre], index[p.post], p.connectivity.real, p.connectivity) for p in network.projections
        ),
        biases=(None, *(np.broadcast_to(p.bias, (p.size,)) for p in populations)),
        spiking=(True, *(p.fires for p in populations)),
        names=("the inputs", *(f"population {quoted(p.name)}" for p in populations)),
        output=index[network.output],
    )
