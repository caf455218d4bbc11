"""snnTorch modules as networks.

`forward` runs on probes while every layer's inputs are traced to the elements that they came from
(`trace`). From the trace the graph is read, each step must repeat it, and one step of the network that was
read is compared with each step that the module made (`check`). What is left over is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError, installing, quoted
from ...ir.connectivity import Dense
from ...ir.network import INPUT, Network, Population, Projection
from ...ir.verifier import MAX_X, verify
from .check import check_steps

if TYPE_CHECKING:
    from torch import nn

    from .trace import Input, LinearCall, NeuronCall, Trace

Ids = npt.NDArray[np.int64]


def from_snntorch(module: nn.Module, input_shape: int | Sequence[int], *, x_max: int = 1) -> Network:
    """The float network that a snnTorch module computes.

    `module` is an `nn.Sequential` or has its own `forward(x)`, made of `Linear` layers, `Leaky` and `Synaptic` neurons,
    `Flatten`, `Identity` and `Dropout` (without effect, as in evaluation). `forward` is one time step on [batch,
    *input_shape], with neurons that keep their states (`init_hidden=True`), or a loop over the steps of [steps, batch,
    *input_shape] or [batch, steps, *input_shape], or of the same [batch, *input_shape] in each; each step must compute
    the same graph. It returns the spikes of the output layer, of a step or stacked, alone or with states.
    `input_shape` is one step's input of one sample (a number stands for a vector), `x_max` the largest number of spikes
    per input and step.

    Parameters are taken over exactly. States and the training flag that the module holds are ignored and left as
    they are. Raises ModelError, naming the layer or operation, for anything else.
    """
    shape = _shape(input_shape)
    if not _is_whole(x_max) or not 1 <= x_max <= MAX_X:
        raise ModelError(f"x_max, the largest input value, is 1 to {MAX_X}: got {x_max!r}")
    _check_module(module)
    return _read(module, shape, int(x_max))


def _shape(given: Any) -> tuple[int, ...]:
    shape = tuple(given) if isinstance(given, Iterable) else (given,)
    if not shape or not all(_is_whole(n) and n > 0 for n in shape):
        raise ModelError(f"input_shape is the shape of one step's input, such as (64,): got {quoted(given)}")
    return tuple(int(n) for n in shape)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _check_module(module: Any) -> None:
    try:
        import snntorch  # noqa: F401
        import torch
    except ImportError as error:
        raise ModelError(
            f"reading a snnTorch module needs torch and snntorch: {error.name} is missing; "
            f"install them with {installing('torch')}"
        ) from None
    from .remedies import check_not_wrapped

    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"from_snntorch reads a torch.nn.Module: got {type(module).__name__}")
    check_not_wrapped(module)
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.device.type != "cpu":
            raise ModelError(
                f"from_snntorch reads modules on the CPU: {name!r} is on {tensor.device}; call module.cpu() first"
            )


def _read(module: nn.Module, input_shape: tuple[int, ...], x_max: int) -> Network:
    """Read the first layout of the input that `forward` accepts and uses as a whole."""
    from .trace import attempts

    refused: ModelError | None = None
    failures: list[Exception] = []
    for attempt in attempts(module, input_shape, x_max):
        if isinstance(attempt, Exception):
            failures.append(attempt)
            continue
        try:
            return _network(attempt, input_shape, x_max, type(module).__name__)
        except _LayoutError as error:
            refused = refused or error
    if refused is not None:
        raise refused
    words = " ".join(f"{type(failures[0]).__name__}: {failures[0]}".split())
    raise ModelError(
        f"forward(x) takes [batch, *{list(input_shape)}], or that with a first or second axis of time steps: "
        f"it raised {words[:200]}"
    )


class _LayoutError(ModelError):
    """The module does not use its input as this layout means it; another layout may suit."""


def _network(trace: Trace, input_shape: tuple[int, ...], x_max: int, name: str) -> Network:
    from .parameters import bias_of, dynamics_of, float_type, weights_of

    if not trace.neurons:
        raise ModelError(f"a spiking network has neurons: forward of {name} calls no snntorch.Leaky or Synaptic layer")
    terms = _repeated_terms(trace)
    output = _output(trace, terms)
    _check_reached(terms, output)
    dtype = float_type(trace, [term.linear for into in terms.values() for term in into if term.linear is not None])
    renamed = {layer: f"{INPUT}_neurons" if layer == INPUT else layer for layer in terms}
    populations = []
    for layer, calls in trace.neurons.items():
        shape = calls[0].spikes.shape[1:]
        dynamics = dynamics_of(layer, calls[0].layer, shape, dtype)
        bias = sum((bias_of(term.linear) for term in terms[layer]), np.zeros(()))
        populations.append(Population(name=renamed[layer], shape=shape, dynamics=dynamics, bias=bias))
    network = Network(
        input_shape=input_shape,
        populations=tuple(populations),
        projections=tuple(
            Projection(
                pre=INPUT if term.source.layer is None else renamed[term.source.layer],
                post=renamed[layer],
                connectivity=Dense(weights=weights_of(term.linear, population.size)),
            )
            for (layer, into), population in zip(terms.items(), populations, strict=True)
            for term in into
        ),
        output=renamed[output],
        x_max=x_max,
        dtype=dtype,
        dialect="snntorch",
        name=name,
    )
    verify(network)
    spikes = {renamed[layer]: _steps([call.spikes for call in calls]) for layer, calls in trace.neurons.items()}
    states = {
        renamed[layer]: {state: _steps([call.states[state] for call in calls]) for state in calls[0].states}
        for layer, calls in trace.neurons.items()
    }
    check_steps(network, {INPUT: _input_values(trace, terms), **spikes}, states)
    return network


# ------------------------------------------------------------------------------------------------------- graph


@dataclass(frozen=True)
class _Source:
    """Where spikes come from: a neuron layer, or None for the network's input, and the step that they are of.

    The step is None for an input that is the same in every step; `axis` is the probe's axis of steps, if it has one.
    """

    layer: str | None
    step: int | None
    axis: int | None = None


@dataclass(frozen=True)
class _Term:
    """A term of a neuron layer's input: spikes through a linear layer, or (None) as they are."""

    linear: LinearCall | None
    source: _Source

    @property
    def signature(self) -> tuple[Any, ...]:
        """What must be the same in every step."""
        return (
            None if self.linear is None else self.linear.layer,
            self.source.layer,
            self.source.step is None,
            self.source.axis,
        )


def _repeated_terms(trace: Trace) -> dict[str, list[_Term]]:
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
        raise _LayoutError("forward takes steps from one axis of its input: it takes them from two")
    return terms


def _layer_terms(trace: Trace, calls: list[NeuronCall]) -> list[_Term]:
    if calls[0].inputs.ndim < 2:
        raise _LayoutError(f"layers receive [batch, neurons]: {calls[0].name!r} receives no batch")
    last: list[_Term] | None = None
    for call in reversed(calls):  # a later step shows a recurrence that starts with constants in the first
        terms = _terms(trace, call.inputs.reshape(len(call.inputs), -1), call.name)
        _check_not_shared(call, terms)
        for term in terms:
            _check_step(call, term.source)
        if last is not None and [term.signature for term in terms] != [term.signature for term in last]:
            raise ModelError(
                f"every step computes the same: {call.name!r} receives something else in step {call.step} than in "
                f"step {call.step + 1}; repeat one graph"
            )
        last = terms
    assert last is not None
    return last


def _check_not_shared(call: NeuronCall, terms: list[_Term]) -> None:
    """A layer of neurons that is called for two layers, one after the other, gets but its own spikes."""
    if len(terms) == 1 and terms[0].source.layer == call.name:
        linear = terms[0].linear
        behind = "" if linear is None else f", one behind {linear.name!r}"
        raise ModelError(
            f"each layer of neurons is a module of its own, with membranes of its own: {call.name!r}, a "
            f"{type(call.layer).__name__}, serves two{behind}: {call.name!r} receives its own spikes; use one Leaky "
            "for each layer of neurons"
        )


def _check_step(call: NeuronCall, source: _Source) -> None:
    if source.step in (None, call.step):
        return
    if source.layer == call.name:
        what = "its own spikes; use one Leaky for each layer of neurons"
    elif source.layer is None:
        what = f"the input of step {source.step}; give it that of its own step"
    else:
        what = f"spikes of {source.layer!r} of step {source.step}; remove the connection"
    raise ModelError(
        f"recurrence, feedback and delays are not supported: in step {call.step}, {call.name!r} receives {what}"
    )


def _terms(trace: Trace, ids: Ids, reader: str) -> list[_Term]:
    """What the elements `ids` [batch, features], which the layer `reader` receives, are the sum of."""
    from .provenance import Sum
    from .trace import LinearCall

    origin = trace.origin(ids)
    if origin is not None and isinstance(origin.owner, Sum):
        return [term for part in origin.owner.terms for term in _terms(trace, part[ids - origin.base], reader)]
    if origin is None or not isinstance(origin.owner, LinearCall):
        return [_Term(None, _source(trace, ids, reader))]
    call = origin.owner
    rows = _rows(ids - origin.base, call.layer.out_features)
    if rows is None:
        raise ModelError(
            f"neurons take the outputs of a linear layer as they are: {reader!r} takes those of {call.name!r} "
            "rearranged or in part"
        )
    return [_Term(call, _source(trace, call.inputs[rows], call.name))]


def _source(trace: Trace, ids: Ids, reader: str) -> _Source:
    """Where the elements `ids` [batch, features], which the layer `reader` receives, come from."""
    from .provenance import Sum, Unknown
    from .remedies import unknown_result
    from .trace import STATES, Input, LinearCall, Spikes, State

    origin = trace.origin(ids)
    owner = None if origin is None else origin.owner
    if origin is not None and isinstance(owner, Input):
        return _input_source(trace, owner, ids - origin.base, reader)
    if origin is not None and isinstance(owner, Spikes):
        if np.array_equal(ids.ravel(), np.arange(origin.base, origin.base + origin.size)):
            return _Source(owner.call.name, owner.call.step)
        raise ModelError(
            f"a layer takes the spikes of another as they are: {reader!r} takes those of {owner.call.name!r} "
            "rearranged or in part"
        )
    if isinstance(owner, State):
        what = f"{STATES[type(owner.call.layer)][owner.name]} of {owner.call.name!r}; pass its spikes"
    elif isinstance(owner, LinearCall):
        what = f"the result of {owner.name!r}; put neurons between two linear layers, or make them one"
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


def _input_source(trace: Trace, owner: Input, ids: Ids, reader: str) -> _Source:
    error = _LayoutError(
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
        return _Source(None, owner.index if len(trace.probes) > 1 else None)
    index = divmod(cells, leading[1])
    for axis in (0, 1):
        step, sample = index[axis], index[1 - axis]
        if np.all(step == step[0]) and np.array_equal(sample, np.arange(leading[1 - axis])):
            return _Source(None, int(step[0]), axis)
    raise error


def _output(trace: Trace, terms: Mapping[str, list[_Term]]) -> str:
    """The neuron layer whose spikes `forward` returns; of several the one that feeds no other."""
    from .remedies import returned_instead

    returned = {layer for ids in trace.returned if (layer := _spiking_layer(trace, ids)) is not None}
    feeding = {term.source.layer for into in terms.values() for term in into}
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


def _check_reached(terms: Mapping[str, list[_Term]], output: str) -> None:
    reached, pending = {output}, [output]
    while pending:
        for term in terms[pending.pop()]:
            if term.source.layer is not None and term.source.layer not in reached:
                reached.add(term.source.layer)
                pending.append(term.source.layer)
    for layer in terms:
        if layer not in reached:
            raise ModelError(f"every neuron layer leads to the output {output!r}: {layer!r} does not; remove it")


def _steps(values: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """[batch, *neurons] of every step as [steps, batch, neurons]."""
    return np.stack(values).reshape(len(values), len(values[0]), -1)


def _input_values(trace: Trace, terms: Mapping[str, list[_Term]]) -> npt.NDArray[Any]:
    """The probes as the neurons got them, [steps, batch, inputs]."""
    steps = len(next(iter(trace.neurons.values())))
    if trace.has_time:
        axis = next(t.source.axis for into in terms.values() for t in into if t.source.layer is None)
        return _steps(list(np.moveaxis(trace.probes[0], axis or 0, 0)[:steps]))
    return _steps(trace.probes if len(trace.probes) > 1 else trace.probes * steps)
