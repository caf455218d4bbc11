"""The graph of a traced snnTorch module: what every layer of neurons receives in a step, and which is the output.

A layer receives terms, each the spikes of a layer or the input, of this step or an earlier one, as they are or through
a layer of weights, poolings and what is folded into these; every step must repeat them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError

if TYPE_CHECKING:
    from .layers import LayerCall
    from .trace import Input, LinearCall, NeuronCall, OneToOne, Trace

    Layer = LinearCall | OneToOne | LayerCall

Ids = npt.NDArray[np.int64]


class LayoutError(ModelError):
    """The module does not use its input as this layout means it; another layout may suit."""


@dataclass(frozen=True)
class Source:
    """Where spikes come from: a neuron layer, or None for the network's input, and the step that they are of.

    The step is None for an input that is the same in every step; `axis` is the probe's axis of steps, if it has one.
    """

    layer: str | None
    step: int | None
    axis: int | None = None
    is_constant: bool = False
    """Whether these are no spikes but what stands in their place before the first step."""


@dataclass(frozen=True)
class Term:
    """A term of a neuron layer's input: spikes, `lag` steps old, through `layers` in turn, or as they are."""

    layers: tuple[Layer, ...]
    source: Source
    lag: int = 0

    @property
    def through(self) -> object:
        """The layers, so that those of other calls can be compared."""
        return tuple(layer.signature for layer in self.layers)

    @property
    def signature(self) -> tuple[Any, ...]:
        """What must be the same in every step."""
        return self.through, self.source.layer, self.source.step is None, self.source.axis, self.lag


def repeated_terms(trace: Trace) -> dict[str, list[Term]]:
    """The terms of every neuron layer's input in the first step, once it is sure that every step repeats them."""
    first, calls = next(iter(trace.neurons.items()))
    for layer, others in trace.neurons.items():
        if len(others) != len(calls):
            raise ModelError(
                f"every neuron layer runs once in each step: {first!r} ran {len(calls)} times, {layer!r} "
                f"{len(others)} times, as one that is shared by several layers does; use one Leaky for each layer of "
                "neurons"
            )
    if len(calls) == 1:
        raise ModelError("forward loops over the steps of its input: it took one step only; loop over all of them")
    terms = {layer: _layer_terms(trace, calls) for layer, calls in trace.neurons.items()}
    if len({term.source.axis for into in terms.values() for term in into if term.source.layer is None}) > 1:
        raise LayoutError("forward takes steps from one axis of its input: it takes them from two")
    return terms


def _layer_terms(trace: Trace, calls: list[NeuronCall]) -> list[Term]:
    if calls[0].inputs.ndim < 2:
        raise LayoutError(f"layers receive [batch, neurons]: {calls[0].name!r} receives no batch")
    expected: list[Term] = []
    for call in reversed(calls):  # the last step shows all; in the first ones constants stand for earlier spikes
        start = max((term.lag for term in expected), default=0) > call.step
        terms = [
            _aged(call, term) for term in _terms(trace, call.inputs.reshape(len(call.inputs), -1), call.name, start)
        ]
        _check_not_shared(call, terms)
        if call is calls[-1]:
            expected = terms
        elif not _repeats(terms, expected, call.step):
            raise ModelError(
                f"every step computes the same: {call.name!r} receives something else in step {call.step} than in "
                f"step {calls[-1].step}; repeat one graph"
            )
    return expected + _own_terms(calls[0])


def _aged(call: NeuronCall, term: Term) -> Term:
    """A term with the number of steps between its spikes and the call that receives it."""
    step = term.source.step
    if step is not None and step > call.step:
        whose = "the input" if term.source.layer is None else f"spikes of {term.source.layer!r}"
        raise ModelError(
            f"a step receives what came before: in step {call.step}, {call.name!r} receives {whose} of step {step}; "
            "give it that of its own step, or of an earlier one"
        )
    return replace(term, lag=0 if step is None else call.step - step)


def _repeats(terms: Sequence[Term], expected: Sequence[Term], step: int) -> bool:
    """Whether `terms` are the `expected` ones, but for those of before the first step: constants, or nothing."""
    there = [term.signature for term in expected if term.lag <= step]
    missing = [term.through for term in expected if term.lag > step]
    constants = [term.through for term in terms if term.source.is_constant]
    return [term.signature for term in terms if not term.source.is_constant] == there and all(
        constants.count(layer) <= missing.count(layer) for layer in constants
    )


def _own_terms(call: NeuronCall) -> list[Term]:
    """What recurrent neurons hear of themselves."""
    from .parameters import recurrent_weights
    from .trace import RECURRENT

    if type(call.layer) not in RECURRENT:
        return []
    return [Term((recurrent_weights(call.name, call.layer),), Source(call.name, call.step), lag=1)]


def _check_not_shared(call: NeuronCall, terms: list[Term]) -> None:
    """A layer of neurons that is called for two layers, one after the other, gets but its own spikes."""
    if len(terms) == 1 and terms[0].source.layer == call.name:
        behind = "".join(f", one behind {layer.name!r}" for layer in terms[0].layers[-1:])
        raise ModelError(
            f"each layer of neurons is a module of its own, with membranes of its own: {call.name!r}, a "
            f"{type(call.layer).__name__}, serves two{behind}: {call.name!r} receives its own spikes; use one Leaky "
            "for each layer of neurons"
        )


def _terms(trace: Trace, ids: Ids, reader: str, start: bool, behind: tuple[Layer, ...] = ()) -> list[Term]:
    """What the elements `ids` [batch, features], which the layer `reader` receives, are the sum of.

    At the `start` of a sample constants may stand for spikes of steps before it. `behind` are the layers between the
    elements and the neurons.
    """
    from .layers import LayerCall
    from .provenance import Sum
    from .trace import LinearCall

    origin = trace.origin(ids)
    owner = None if origin is None else origin.owner
    if origin is not None and isinstance(owner, Sum) and not behind:
        return [term for part in owner.terms for term in _terms(trace, part[ids - origin.base], reader, start)]
    weighted = any(layer.has_weights for layer in behind)
    if origin is None or not isinstance(owner, LinearCall | LayerCall) or (weighted and owner.has_weights):
        return [Term(behind, _source(trace, ids, reader, start))]
    rows = _rows(ids - origin.base, origin.size // len(owner.inputs))
    if rows is None:
        raise ModelError(
            f"layers take what comes out of another as it is: {reader!r} takes that of {owner.name!r} rearranged or in "
            "part"
        )
    inputs = owner.inputs[rows].reshape(len(rows), -1)
    return _terms(trace, inputs, owner.name, start, (owner, *behind))


def _source(trace: Trace, ids: Ids, reader: str, start: bool) -> Source:
    """Where the elements `ids` [batch, features], which the layer `reader` receives, come from."""
    from .layers import LayerCall
    from .provenance import CONSTANT, Sum, Unknown
    from .remedies import unknown_result
    from .trace import STATES, Input, LinearCall, Spikes, State

    origin = trace.origin(ids)
    owner = None if origin is None else origin.owner
    if origin is not None and isinstance(owner, Input):
        return _input_source(trace, owner, ids - origin.base, reader)
    if origin is not None and isinstance(owner, Spikes):
        if np.array_equal(ids.ravel(), np.arange(origin.base, origin.base + origin.size)):
            return Source(owner.call.name, owner.call.step)
        raise ModelError(
            f"a layer takes the spikes of another as they are: {reader!r} takes those of {owner.call.name!r} "
            "rearranged or in part"
        )
    if start and np.all(ids == CONSTANT):
        return Source(None, None, is_constant=True)
    if isinstance(owner, State):
        what = f"{STATES[type(owner.call.layer)][owner.name]} of {owner.call.name!r}; pass its spikes"
    elif isinstance(owner, LinearCall | LayerCall):
        what = f"the result of {owner.name!r}; put neurons between two layers of weights, or make them one"
    elif isinstance(owner, Sum):
        what = "a sum of spikes; add up the results of linear layers instead"
    elif isinstance(owner, Unknown):
        what = unknown_result(owner)
    else:
        what = "something that does not come from the input or a layer by known operations; remove it"
    raise ModelError(f"layers receive spikes or sums of linear layers: {reader!r} receives {what}")


def _rows(ids: Ids, features: int) -> Ids | None:
    """Which rows of `features` elements these are, where `ids` [n, features] are whole rows; else None."""
    rows = ids[:, 0] // features
    whole = ids.shape[1] == features and np.array_equal(ids, rows[:, None] * features + np.arange(features))
    return rows if whole else None


def _input_source(trace: Trace, owner: Input, ids: Ids, reader: str) -> Source:
    error = LayoutError(
        f"layers take one step of the input as a whole, flattened row-major: {reader!r} takes it rearranged, mixed or "
        "in part"
    )
    leading = owner.shape[: 2 if trace.has_time else 1]
    cells = _rows(ids, math.prod(owner.shape[len(leading) :]))
    if cells is None:
        raise error
    if not trace.has_time:
        if not np.array_equal(cells, np.arange(leading[0])):
            raise error
        return Source(None, owner.index if len(trace.probes) > 1 else None)
    index = divmod(cells, leading[1])
    for axis in (0, 1):
        step, sample = index[axis], index[1 - axis]
        if np.all(step == step[0]) and np.array_equal(sample, np.arange(leading[1 - axis])):
            return Source(None, int(step[0]), axis)
    raise error


def output_layer(trace: Trace, terms: Mapping[str, list[Term]]) -> str:
    """The neuron layer whose spikes `forward` returns; of several the one that feeds no other."""
    from .remedies import returned_instead

    returned = {layer for ids in trace.returned if (layer := _spiking_layer(trace, ids)) is not None}
    feeding = {term.source.layer for into in terms.values() for term in into if not term.lag}
    candidates = sorted(returned if len(returned) == 1 else returned - feeding)
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise ModelError(f"forward returns the spikes of one output layer: it returns those of {', '.join(candidates)}")
    raise ModelError(
        "forward returns the spikes of its output layer, of a step or stacked: it returns " + returned_instead(trace)
    )


def _spiking_layer(trace: Trace, ids: Ids) -> str | None:
    """The layer of which a returned tensor holds spikes: all neurons of each sample and step, in order."""
    from .trace import Spikes

    flat = ids.ravel()
    origins = trace.provenance.origins(flat)
    calls = [origin.owner.call for origin in origins if origin is not None and isinstance(origin.owner, Spikes)]
    if not origins or len(calls) < len(origins) or len({call.name for call in calls}) > 1:
        return None
    size = math.prod(calls[0].spikes.shape[1:])
    bases = np.array([origin.base for origin in origins if origin is not None])
    local = flat - bases[np.searchsorted(bases, flat, side="right") - 1]
    neurons = local[np.argsort(flat - local % size, kind="stable")] % size
    in_order = len(flat) % size == 0 and np.all(neurons.reshape(-1, size) == np.arange(size))
    return calls[0].name if in_order else None


def check_reached(terms: Mapping[str, list[Term]], output: str) -> None:
    """Raise ModelError for a layer from which no way leads to the output."""
    reached, pending = {output}, [output]
    while pending:
        for term in terms[pending.pop()]:
            if term.source.layer is not None and term.source.layer not in reached:
                reached.add(term.source.layer)
                pending.append(term.source.layer)
    for layer in terms:
        if layer not in reached:
            raise ModelError(f"every neuron layer leads to the output {output!r}: {layer!r} does not; remove it")
