"""snnTorch modules as networks.

`forward` runs on probes while every layer's inputs are traced to the elements that they came from
(`snntorch_trace`). From the trace the graph is read, each step must repeat it, and one step of the network that was
read is compared with each step that the module made (`snntorch_check`). What is left over is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError, installing, quoted
from ...ir.arrays import FloatArray
from ...ir.connectivity import Dense
from ...ir.network import INPUT, Network, Population, Projection
from ...ir.neurons import LIF, CubaLIF, ResetMode, ResetPlace
from ...ir.verifier import MAX_X, verify
from .check import check_steps

if TYPE_CHECKING:
    import snntorch
    import torch
    from torch import nn

    from .provenance import Unknown
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
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"from_snntorch reads a torch.nn.Module: got {type(module).__name__}")
    _check_not_wrapped(module)
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.device.type != "cpu":
            raise ModelError(
                f"from_snntorch reads modules on the CPU: {name!r} is on {tensor.device}; call module.cpu() first"
            )


def _check_not_wrapped(module: nn.Module) -> None:
    import torch

    from .remedies import wrapper

    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError(
            f"from_snntorch runs a module in Python: this is a {type(module).__name__}; pass the module that it was "
            "scripted or traced from"
        )
    for name, layer in module.named_modules():
        if (attribute := wrapper(layer)) is not None:
            what = f"{name!r}, a {type(layer).__name__}" if name else f"this, a {type(layer).__name__}"
            path = f"{name}.{attribute}" if name else attribute
            raise ModelError(
                f"from_snntorch reads a module without a wrapper: {what}, stands around one; "
                + (f"put model.{path} in its place" if name else f"pass model.{path}")
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
    if not trace.neurons:
        raise ModelError(f"a spiking network has neurons: forward of {name} calls no snntorch.Leaky or Synaptic layer")
    terms = _repeated_terms(trace)
    output = _output(trace, terms)
    _check_reached(terms, output)
    dtype = _dtype(trace, terms)
    renamed = {layer: f"{INPUT}_neurons" if layer == INPUT else layer for layer in terms}
    populations = []
    for layer, calls in trace.neurons.items():
        shape = calls[0].spikes.shape[1:]
        dynamics = _dynamics(layer, calls[0].layer, shape, dtype)
        bias = sum((_bias(term) for term in terms[layer]), np.zeros(()))
        populations.append(Population(name=renamed[layer], shape=shape, dynamics=dynamics, bias=bias))
    network = Network(
        input_shape=input_shape,
        populations=tuple(populations),
        projections=tuple(
            Projection(
                pre=INPUT if term.source.layer is None else renamed[term.source.layer],
                post=renamed[layer],
                connectivity=Dense(weights=_weights(term, population.size)),
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
        what = _unknown_result(owner)
    else:
        what = "something that does not come from the input or a layer by known operations; remove it"
    raise ModelError(f"layers receive spikes or sums of linear layers: {reader!r} receives {what}")


def _unknown_result(owner: Unknown) -> str:
    from .remedies import class_name, way_out

    scope = owner.scope
    where = "" if scope is None else f" in {scope.name!r}, a {class_name(scope.layer)}"
    way = way_out(owner.operation, None if scope is None else scope.layer)
    return f"the result of the operation {owner.operation!r}{where}, which Spikeloom does not know; {way}"


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
    returned = {layer for ids in trace.returned if (layer := _spiking_layer(trace, ids)) is not None}
    feeding = {term.source.layer for into in terms.values() for term in into}
    candidates = sorted(returned if len(returned) == 1 else returned - feeding)
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise ModelError(f"forward returns the spikes of one output layer: it returns those of {', '.join(candidates)}")
    raise ModelError(
        "forward returns the spikes of its output layer, of a step or stacked: it returns " + _returned_instead(trace)
    )


def _returned_instead(trace: Trace) -> str:
    """What a forward returns that returns no spikes, and what to do about it."""
    from .provenance import Unknown
    from .trace import LinearCall, State

    origins = [o for ids in trace.returned for o in trace.provenance.origins(ids.ravel()) if o is not None]
    owners = [origin.owner for origin in origins]
    for owner in owners:
        if isinstance(owner, State):
            return (
                f"membranes of {owner.call.name!r}; return (spikes, membranes), and say how a class is read off with "
                'network.with_readout("membrane-last"), "membrane-max" or "membrane-sum"'
            )
        if isinstance(owner, LinearCall):
            return (
                f"the result of {owner.name!r} (logits), which no neurons receive; end with snntorch.Leaky(beta=1.0, "
                'reset_mechanism="none"), whose last membranes are the sum of the logits, return its spikes and call '
                'network.with_readout("membrane-last")'
            )
    if operations := sorted({owner.operation for owner in owners if isinstance(owner, Unknown)}):
        return f"the result of the operation {operations[0]!r}; return the spikes, and count them outside of forward"
    return "nothing that holds just these, in the order of the neurons; return them, alone or as (spikes, membranes)"


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


# -------------------------------------------------------------------------------------------------- parameters


def _dtype(trace: Trace, terms: Mapping[str, list[_Term]]) -> str:
    """The one float type of everything that is not a single number (torch fits those to their operands)."""
    tensors: dict[str, Any] = {}
    for layer, calls in trace.neurons.items():
        names = ("alpha", "beta", "threshold") if "syn" in calls[0].states else ("beta", "threshold")
        tensors |= {f"{layer}.{name}": getattr(calls[0].layer, name) for name in names}
        for call in (term.linear for term in terms[layer] if term.linear is not None):
            tensors |= {f"{call.name}.weight": call.layer.weight, f"{call.name}.bias": call.layer.bias}
    found = {
        str(tensor.dtype).removeprefix("torch."): name
        for name, tensor in tensors.items()
        if tensor is not None and tensor.ndim and tensor.is_floating_point()
    }
    if not found:
        return "float32"
    if len(found) > 1 or not found.keys() <= {"float32", "float64"}:
        held = ", ".join(f"{name!r} is {dtype}" for dtype, name in sorted(found.items()))
        raise ModelError(f"a module is float32 or float64 as a whole: {held}; convert it, e.g. with module.float()")
    return next(iter(found))


def _dynamics(
    name: str, layer: snntorch.Leaky | snntorch.Synaptic, shape: tuple[int, ...], dtype: str
) -> LIF | CubaLIF:
    import snntorch

    _check_neurons(name, layer)
    mode, place = _reset(name, layer)
    threshold = _per_neuron(f"{name}.threshold", layer.threshold, shape, dtype)
    if place is not ResetPlace.SNNTORCH_SAME and mode is not ResetMode.NONE and np.any(threshold < 0):
        raise ModelError(
            f"thresholds are not negative: {name!r} has {threshold.min():g}, and snnTorch resets its membranes at the "
            "start; use a threshold of at least 0"
        )
    beta = np.clip(_per_neuron(f"{name}.beta", layer.beta, shape, dtype), 0, 1)
    if isinstance(layer, snntorch.Synaptic):
        alpha = np.clip(_per_neuron(f"{name}.alpha", layer.alpha, shape, dtype), 0, 1)
        return CubaLIF(alpha=alpha, beta=beta, threshold=threshold, reset_mode=mode, reset_place=place)
    return LIF(beta=beta, threshold=threshold, reset_mode=mode, reset_place=place)


def _check_neurons(name: str, layer: snntorch.Leaky | snntorch.Synaptic) -> None:
    import torch

    for option in ("inhibition", "state_quant"):
        if getattr(layer, option):
            raise ModelError(f"{option} of snnTorch's neurons is not supported: {name!r} uses it; turn it off")
    if torch.any(layer.graded_spikes_factor != 1):
        raise ModelError(
            f"spikes are 0 or 1: {name!r} has a graded_spikes_factor of {layer.graded_spikes_factor.tolist()}; "
            "scale the weights of the next layer instead"
        )
    distances = torch.linspace(-4, 4, 1025)
    with torch.no_grad():
        if not torch.equal(layer.spike_grad(distances), (distances > 0).float()):
            raise ModelError(
                f"a neuron fires above its threshold: spike_grad of {name!r} is no step function; replace it"
            )


def _reset(name: str, layer: snntorch.Leaky | snntorch.Synaptic) -> tuple[ResetMode, ResetPlace]:
    """The reset's mode and place; of snnTorch's four kinds and none."""
    modes = ("_base_sub", "_base_zero", "_base_int")
    value = int(layer.reset_mechanism_val)
    if layer.state_function.__name__ != modes[value]:
        raise ModelError(
            f"the reset is chosen when a {type(layer).__name__} is made: {name!r} was made with another than "
            f"reset_mechanism_val {value}; make it anew with the reset_mechanism that you want"
        )
    if value == 2:
        return ResetMode.NONE, ResetPlace.SAME
    if value == 1 and layer.reset_delay and hasattr(layer, "alpha"):
        raise ModelError(
            f"a Synaptic that resets to zero a step later also loses that step's current, which is not supported: "
            f"{name!r} does; use reset_delay=False, or subtract"
        )
    if value == 1:
        return ResetMode.VALUE, ResetPlace.NEXT if layer.reset_delay else ResetPlace.SAME
    return ResetMode.SUBTRACT, ResetPlace.NEXT if layer.reset_delay else ResetPlace.SNNTORCH_SAME


def _per_neuron(name: str, tensor: torch.Tensor, shape: tuple[int, ...], dtype: str) -> FloatArray:
    """A parameter as one number, or one per neuron, rounded to the network's float type as torch does."""
    value = tensor.detach().numpy().astype(dtype).astype(np.float64)
    if value.size == 1:
        return value.reshape(())
    if value.ndim > len(shape) and all(n == 1 for n in value.shape[: value.ndim - len(shape)]):
        value = value.reshape(value.shape[value.ndim - len(shape) :])
    try:
        return np.broadcast_to(value, shape).ravel()
    except ValueError:
        raise ModelError(
            f"a parameter is one number or one per neuron {list(shape)}: {name!r} has the shape {list(value.shape)}"
        ) from None


def _bias(term: _Term) -> FloatArray:
    if term.linear is None or term.linear.layer.bias is None:
        return np.zeros(())
    return term.linear.layer.bias.detach().double().numpy()


def _weights(term: _Term, size: int) -> FloatArray:
    """[pre, post]; spikes as they are have one synapse of weight 1 each."""
    if term.linear is None:
        return np.eye(size)
    return term.linear.layer.weight.detach().double().numpy().T
