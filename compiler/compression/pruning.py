"""Pruning by a threshold: of weights by magnitude or activity, and of whole neurons by activity.

The functions take a list of layers or a `Network` (see `layers`) and return the same form and a report.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import OptionError, quoted
from ..ir.arrays import FloatArray, IntArray
from ..ir.connectivity import Connectivity, Dense
from ..ir.narrow import narrowed
from ..ir.network import Network
from ..ir.verifier import verify
from ..names import BASELINES
from .activity import estimated_rates
from .layers import AnyNetwork, Connection, Graph, Rates, checked_rates, graph_of, matrices_of, with_matrices

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class PruningReport:
    """What pruning did. `original_params` are all weights, zeros included; `remaining_params` those that are not zero.

    `pruned_params` became zero now: weights that were zero before are not counted again. `sparsity` is the share of all
    weights that are zero, `compression_ratio` all weights over the remaining ones (infinite where none remain).
    """

    sparsity: float
    original_params: int
    remaining_params: int
    pruned_params: int
    compression_ratio: float


@dataclass(frozen=True, kw_only=True)
class NeuronPruningReport:
    """What removing neurons did. `new_dimensions` are the sizes of inputs, hidden layers and outputs that are left.

    `kept` has the indices of the neurons that stayed, group by group.
    """

    pruned_neurons: int
    new_dimensions: list[int]
    kept: tuple[IntArray, ...]


def prune_weights(
    weights: AnyNetwork,
    threshold: float = 0.05,
    method: str = "magnitude",
    *,
    activity_threshold: float = 0.05,
    spike_rates: Rates | None = None,
) -> tuple[AnyNetwork, PruningReport]:
    """Set weights to zero: an absent synapse.

    `magnitude` removes weights below `threshold` in magnitude. `activity` removes every weight whose pre or post neuron
    fires less than `activity_threshold` spikes per step; `threshold` does not matter then. `spike_rates` are vectors of
    spikes per step, one for the inputs and one for each layer or population, outputs included; without them they are
    estimated (see `activity`), with a warning. Readouts that never fire (LI) count as active.

    Warns of layers that lose all their weights and outputs that lose their last. Raises OptionError for a method or
    threshold that is none, ModelError for bad weights, SampleError for rates that do not suit them.
    """
    if method not in BASELINES:
        raise OptionError(f"a pruning method is one of {', '.join(BASELINES)}: got {quoted(method)}")
    check_threshold("threshold", threshold)
    check_threshold("activity_threshold", activity_threshold)
    if method == "magnitude" and not isinstance(weights, Network):
        before = matrices_of(weights)
        keep = [np.abs(matrix) >= threshold for matrix in before]
    else:
        graph = graph_of(weights)
        before = [connection.weights for connection in graph.connections]
        if method == "magnitude":
            keep = [np.abs(matrix) >= threshold for matrix in before]
        else:
            active = _active(graph, _rates(graph, weights, spike_rates), activity_threshold)
            keep = [c.connectivity.joining(active[c.pre], active[c.post]) for c in graph.connections]
    after = [np.where(k, matrix, matrix.dtype.type(0)) for k, matrix in zip(keep, before, strict=True)]
    _warn_of_silence(weights, before, after)
    return with_matrices(weights, after), _report(before, after)


def prune_neurons(
    weights: AnyNetwork, activity_threshold: float = 0.05, *, spike_rates: Rates | None = None
) -> tuple[AnyNetwork, NeuronPruningReport]:
    """Remove hidden neurons that fire less than `activity_threshold` spikes per step, with all their synapses.

    Inputs and outputs are never removed, and of every hidden layer at least the most active neuron stays, with a
    warning. What a removed neuron contributed on average, its rate times its weights, goes into the bias of the next
    layer: a Network's populations all have one, a layer of a list where it is a mapping with a `bias`. Hidden
    populations of a Network become one-dimensional where they lose neurons. `spike_rates` and errors are those of
    `prune_weights`.
    """
    check_threshold("activity_threshold", activity_threshold)
    graph = graph_of(weights)
    rates = _rates(graph, weights, spike_rates)
    active = _hidden_survivors(graph, rates, activity_threshold)
    drive = [_constant_drive(graph, group, rates, active) for group in range(len(graph.sizes))]
    smaller: Any
    if isinstance(weights, Network):
        smaller = _smaller_network(weights, active, drive)
    else:
        smaller = [
            _smaller_layer(layer, c, graph.biases[c.post], active, drive[c.post])
            for layer, c in zip(weights, graph.connections, strict=True)
        ]
    report = NeuronPruningReport(
        pruned_neurons=sum(int(np.count_nonzero(~a)) for a in active),
        new_dimensions=[int(np.count_nonzero(a)) for a in active],
        kept=tuple(np.flatnonzero(a) for a in active),
    )
    return smaller, report


# ----------------------------------------------------------------------------------------------------- activity


def check_threshold(name: str, value: float) -> None:
    """OptionError for what is no finite number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value < math.inf:
        raise OptionError(f"{name} is a finite number, 0 or more: got {quoted(value)}")


def _rates(graph: Graph, weights: Sequence[Any] | Network, spike_rates: Rates | None) -> tuple[FloatArray, ...]:
    if spike_rates is not None:
        return checked_rates(graph, spike_rates)
    warnings.warn(
        "spike rates were not given: they are estimated from the weights alone; measure them "
        "(spikeloom.compiler.compression.measured_rates) and pass spike_rates",
        stacklevel=3,
    )
    return estimated_rates(graph, weights if isinstance(weights, Network) else None)


def _active(graph: Graph, rates: Sequence[FloatArray], threshold: float) -> list[BoolArray]:
    return [(rate >= threshold) | (not spiking) for rate, spiking in zip(rates, graph.spiking, strict=True)]


def _hidden_survivors(graph: Graph, rates: Sequence[FloatArray], threshold: float) -> list[BoolArray]:
    survivors = []
    for group, rate in enumerate(rates):
        keep = rate >= threshold
        if group in (0, graph.output) or not graph.spiking[group]:
            keep = np.ones_like(keep)
        elif not keep.any():
            keep[np.argmax(rate)] = True
            warnings.warn(
                f"a layer keeps a neuron: all {len(rate)} of {graph.names[group]} fire less than {threshold:g} spikes "
                "per step; the most active one stays; lower activity_threshold",
                stacklevel=3,
            )
        survivors.append(keep)
    return survivors


def _constant_drive(graph: Graph, group: int, rates: Sequence[FloatArray], active: Sequence[BoolArray]) -> FloatArray:
    """The mean input per step of a group's neurons from those that go."""
    drive = np.zeros(graph.sizes[group])
    for connection in graph.into(group):
        gone = ~active[connection.pre]
        if not gone.any():
            continue
        drive = drive + rates[connection.pre][gone] @ connection.weights[gone]
    return drive


# ----------------------------------------------------------------------------------------------- smaller forms


def _smaller_layer(
    layer: Any, connection: Connection, bias: FloatArray | None, active: Sequence[BoolArray], drive: FloatArray
) -> Any:
    post = active[connection.post]
    matrix = connection.weights[connection.connectivity.between(active[connection.pre], post)]
    if not isinstance(layer, Mapping):
        return matrix
    return {**layer, "weight": matrix} | ({} if bias is None else {"bias": (bias + drive)[post]})


def _smaller_network(network: Network, active: Sequence[BoolArray], drive: Sequence[FloatArray]) -> Network:
    fed = replace(
        network,
        populations=tuple(
            replace(p, bias=p.bias + d) if d.any() else p for p, d in zip(network.populations, drive[1:], strict=True)
        ),
    )
    kept = {p.name: np.flatnonzero(a) for p, a in zip(network.populations, active[1:], strict=True)}
    smaller = narrowed(fed, kept)
    verify(smaller)
    return smaller


# ------------------------------------------------------------------------------------------------------- report


def _report(before: Sequence[npt.NDArray[Any]], after: Sequence[npt.NDArray[Any]]) -> PruningReport:
    original = sum(matrix.size for matrix in before)
    remaining = sum(int(np.count_nonzero(matrix)) for matrix in after)
    return PruningReport(
        sparsity=1.0 - remaining / original,
        original_params=original,
        remaining_params=remaining,
        pruned_params=sum(int(np.count_nonzero(matrix)) for matrix in before) - remaining,
        compression_ratio=original / remaining if remaining else math.inf,
    )


def _titles(
    weights: Sequence[Any] | Network, before: Sequence[npt.NDArray[Any]]
) -> list[tuple[str, bool, Connectivity]]:
    """The name of every connection, whether it leads to the output, and its connectivity."""
    if isinstance(weights, Network):
        return [
            (f"{quoted(p.pre)} -> {quoted(p.post)}", p.post == weights.output, p.connectivity)
            for p in weights.projections
        ]
    last = len(weights) - 1
    return [(f"layer {number}", number == last, Dense(weights=matrix)) for number, matrix in enumerate(before)]


def _warn_of_silence(
    weights: Sequence[Any] | Network, before: Sequence[npt.NDArray[Any]], after: Sequence[npt.NDArray[Any]]
) -> None:
    for (title, is_output, connectivity), old, new in zip(_titles(weights, before), before, after, strict=True):
        lost = _driven(connectivity, old) & ~_driven(connectivity, new)
        if old.any() and not new.any():
            what = "no weights"
        elif is_output and lost.any():
            what = f"no weights into {np.count_nonzero(lost)} of {len(lost)} outputs"
        else:
            continue
        warnings.warn(f"pruning left {what} in {title}; lower the threshold to keep some", stacklevel=3)


def _driven(connectivity: Connectivity, values: npt.NDArray[Any]) -> BoolArray:
    """The post neurons with a synapse."""
    driven: BoolArray = connectivity.totals((values != 0).astype(np.int64)) > 0
    return driven
