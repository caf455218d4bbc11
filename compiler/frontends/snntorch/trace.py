"""What a snnTorch module does with its tensors, observed while its `forward` runs.

The module runs on probes (spikes, and values far outside the range of spikes) in evaluation mode. Hooks on its linear
layers and its neurons record each call with the identities of the elements that it was given (`provenance`), its spikes
and its states. Nothing is concluded here; `frontend` reads the network off
the trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import snntorch
import torch
from torch import nn

from ....hdl.errors import ModelError
from ..chain import Chain
from .adaptive import AdaptiveLeaky
from .provenance import Ids, Origin, Provenance, tensors_in

BATCH = 5
"""Samples in a probe; also the steps of a probe with a time axis, so that either of its first axes can be time."""

LONG = 1000
"""Steps of the probes for a `forward` that loops over a fixed number of steps."""

_TRANSPARENT = (
    nn.Sequential,
    nn.Flatten,
    nn.Unflatten,
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
)
"""Layers that may be called: what they do is seen as torch functions."""

_SEEN = (
    *(nn.Conv1d, nn.Conv2d, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.LPPool1d, nn.LPPool2d),
    *(nn.BatchNorm1d, nn.BatchNorm2d),
)
"""Layers that are read by the torch functions that they call (`layers`)."""


_MEMBRANES = {"mem": "membranes"}
_CURRENTS = {"syn": "synaptic currents", **_MEMBRANES}
STATES: dict[type[nn.Module], dict[str, str]] = {
    snntorch.Leaky: _MEMBRANES,
    snntorch.Synaptic: _CURRENTS,
    snntorch.RLeaky: {"spk": "spikes", **_MEMBRANES},
    snntorch.RSynaptic: {"spk": "spikes", **_CURRENTS},
    AdaptiveLeaky: {"spk": "spikes", **_MEMBRANES, "adapt": "adaptations"},
}
"""The states of the neurons that are read, in the order of their arguments after the input, and what they are."""

RECURRENT = (snntorch.RLeaky, snntorch.RSynaptic)
"""Neurons that hear their own spikes of the step before, through weights of their own."""


@dataclass(frozen=True, eq=False)
class Input:
    """The owner of the elements of a probe; `index` counts the calls of `forward`."""

    index: int
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class LinearCall:
    """One call of a linear layer, or of one with a delay for each synapse: the elements that it was given, [rows,
    features]."""

    name: str
    layer: nn.Module
    inputs: Ids
    has_weights = True

    @property
    def signature(self) -> object:
        """The same for calls that do the same."""
        return self.layer

    def onto(self, chain: Chain) -> Chain:
        """The chain, and then this layer."""
        bias = self.layer.bias
        added = np.zeros(()) if bias is None else bias.detach().double().numpy()
        weight = self.layer.weight.detach().double().numpy()
        return chain.reshaped(weight.shape[1:]).linear(weight, added, repr(self.name))


@dataclass(frozen=True, eq=False)
class OneToOne:
    """Weights from each neuron to itself: one for all, or one for each."""

    name: str
    weight: torch.Tensor
    has_weights = True

    @property
    def signature(self) -> object:
        """The same for calls that do the same."""
        return self

    def onto(self, chain: Chain) -> Chain:
        """The chain, and then these weights."""
        return chain.scaled(self.weight.detach().double().numpy(), repr(self.name))


@dataclass(frozen=True, eq=False)
class NeuronCall:
    """One call of a layer of neurons: the elements that it was given, its spikes, and its states after it.

    All arrays are [batch, *neurons]; `states` has `mem`, `syn` where there are synaptic currents, and `adapt` where
    thresholds adapt.
    """

    name: str
    layer: snntorch.SpikingNeuron
    step: int
    inputs: Ids
    spikes: npt.NDArray[Any]
    states: dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Spikes:
    """The owner of the spikes of a neuron call."""

    call: NeuronCall


@dataclass(frozen=True, eq=False)
class State:
    """The owner of a state of a neuron call: its membranes (`mem`) or synaptic currents (`syn`)."""

    call: NeuronCall
    name: str


@dataclass(frozen=True, eq=False)
class Scope:
    """A layer of the module that is not read itself, while its `forward` runs."""

    name: str
    layer: nn.Module


def has_delays(layer: nn.Module) -> bool:
    """Whether this is a linear layer with delays of its synapses, as `spikeloom.compiler.training.DelayLinear` is."""
    return not isinstance(layer, nn.Linear) and all(hasattr(layer, name) for name in ("weight", "delays", "delays_int"))


@dataclass(eq=False)
class Trace:
    """One or more calls of `forward`: the probes, the calls of neurons by layer, and the elements that came back.

    `has_time` says whether a probe has a time axis, [5, 5, *inputs] with either axis as time, or is one step's
    [batch, *inputs].
    """

    provenance: Provenance
    has_time: bool
    probes: list[npt.NDArray[Any]] = field(default_factory=list)
    neurons: dict[str, list[NeuronCall]] = field(default_factory=dict)
    returned: list[Ids] = field(default_factory=list)

    def origin(self, ids: Ids) -> Origin | None:
        """The one origin of all these elements, or None where they have several or none."""
        first = self.provenance.origin(int(ids.flat[0])) if ids.size else None
        if first is None or ids.min() < first.base or ids.max() >= first.base + first.size:
            return None
        return first


def attempts(module: nn.Module, input_shape: tuple[int, ...], x_max: int) -> Iterator[Trace | Exception]:
    """Run `forward` on every layout of its input in turn: a trace, or the exception that the layout led to.

    The layouts are one step's [batch, *inputs] and those with a time axis. Every attempt leaves the module as it was.
    Raises ModelError for what no layout could mend.
    """
    for leading in ((BATCH,), (BATCH, BATCH), (LONG, BATCH), (BATCH, LONG)):
        with _untouched(module), torch.no_grad():
            module.eval()
            try:
                result: Trace | Exception = _Recorder(module, has_time=len(leading) == 2).run(
                    (*leading, *input_shape), x_max
                )
            except ModelError:
                raise
            except Exception as error:  # whatever the user's forward raises
                result = error
        yield result


@contextmanager
def _untouched(module: nn.Module) -> Iterator[None]:
    """Put attributes, buffers, training flags and the random state back afterwards."""
    layers = list(module.modules())
    attributes = [dict(vars(layer)) for layer in layers]
    buffers = [dict(layer._buffers) for layer in layers]
    contents = [(b, b.detach().clone()) for held in buffers for b in held.values() if b is not None]
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            for layer, before, held in zip(layers, attributes, buffers, strict=True):
                vars(layer).clear()
                vars(layer).update(before)
                layer._buffers.clear()
                layer._buffers.update(held)
            for buffer, content in contents:
                if not torch.equal(buffer, content):
                    buffer.detach().copy_(content)


def _probe(shape: tuple[int, ...], steps: int, x_max: int, seed: int) -> npt.NDArray[Any]:
    """Spikes in some samples and steps, values that drive every neuron across its range in the others."""
    rng = np.random.default_rng(seed)
    spikes = rng.integers(0, x_max + 1, shape) * (rng.random(shape) < 0.5)
    kind = (sum(np.ogrid[tuple(slice(n) for n in shape[:steps])]) + seed) % 5
    gain = np.choose(kind, [0, 0, 1, 10, 100]).reshape(*shape[:steps], *[1] * (len(shape) - steps))
    return np.where(gain == 0, spikes, x_max * gain * rng.normal(size=shape))


class _Recorder:
    """Runs a module with hooks on its layers."""

    def __init__(self, module: nn.Module, has_time: bool) -> None:
        self.module = module
        self.trace = Trace(Provenance(), has_time)
        self._inputs: Ids | None = None
        parameters = [t for t in module.parameters() if t.is_floating_point()]
        self._dtype = parameters[0].dtype if parameters else torch.get_default_dtype()

    def run(self, shape: tuple[int, ...], x_max: int) -> Trace:
        names = {layer: name or type(layer).__name__.lower() for name, layer in self.module.named_modules()}
        for neurons in [layer for layer in names if type(layer) in RECURRENT]:
            for part in list(neurons.modules())[1:]:
                names.pop(part, None)  # their weights are theirs
        for layer in names:
            vars(layer).pop("_compiled_call_impl", None)  # of module.compile(): a compiled forward shows no operations
        handles = [handle for layer, name in names.items() for handle in self._hook(layer, name)]
        try:
            self._forward(shape, x_max)
            if not self.trace.has_time and all(len(calls) == 1 for calls in self.trace.neurons.values()):
                for _ in range(BATCH - 1):  # forward is one time step
                    self._forward(shape, x_max)
        finally:
            for handle in handles:
                handle.remove()
        return self.trace

    def _forward(self, shape: tuple[int, ...], x_max: int) -> None:
        index = len(self.trace.probes)
        values = _probe(shape, 2 if self.trace.has_time else 1, x_max, index)
        probe = torch.from_numpy(values).to(self._dtype)
        self.trace.probes.append(probe.double().numpy())
        provenance = self.trace.provenance
        provenance.paused = False
        provenance.mark(probe, Input(index, shape))
        with provenance:
            result = self.module(probe)
        self.trace.returned += [provenance.ids(tensor) for tensor in tensors_in(result)]

    def _hook(self, layer: nn.Module, name: str) -> Iterator[Any]:
        if type(layer) in STATES:
            for state in STATES[type(layer)]:
                setattr(layer, state, torch.zeros(0))  # what was left in the module is not the network's
            yield layer.register_forward_pre_hook(
                lambda layer, args, kwargs: self._before_neurons(layer, name, args, kwargs), with_kwargs=True
            )
            yield layer.register_forward_hook(lambda layer, args, result: self._after_neurons(layer, name, result))
        elif has_delays(layer) or (isinstance(layer, nn.Linear) and type(layer).forward is nn.Linear.forward):
            if has_delays(layer):
                layer.reset()  # what was left in the module is not the network's
            yield layer.register_forward_pre_hook(
                lambda layer, args, kwargs: self._before(args, kwargs, "inputs" if has_delays(layer) else "input"),
                with_kwargs=True,
            )
            yield layer.register_forward_hook(lambda layer, args, result: self._after_linear(layer, name, result))
        elif isinstance(layer, snntorch.SpikingNeuron) or (
            type(layer).__module__.startswith(("torch.", "snntorch."))
            and not isinstance(layer, (*_TRANSPARENT, *_SEEN))
        ):
            yield layer.register_forward_pre_hook(lambda layer, args: self._refuse(layer, name))
        elif layer is not self.module:
            scopes, scope = self.trace.provenance.scopes, Scope(name, layer)
            yield layer.register_forward_pre_hook(lambda layer, args: scopes.append(scope))
            yield layer.register_forward_hook(lambda layer, args, result: scopes.remove(scope))

    def _refuse(self, layer: nn.Module, name: str) -> None:
        from .remedies import class_name, replacement  # which knows what a trace holds

        if not self.trace.provenance.paused:  # inside a layer that is read: a parametrisation of its weights
            raise ModelError(
                "from_snntorch reads Linear, Conv1d, Conv2d, Leaky, Synaptic, RLeaky, RSynaptic and AdaptiveLeaky "
                "layers, poolings, BatchNorm, Flatten, Identity and Dropout: "
                f"{name!r} is a {class_name(layer)}; {replacement(layer)}"
            )

    def _before(self, args: tuple[Any, ...], kwargs: dict[str, Any], key: str) -> None:
        self.trace.provenance.paused = True
        self._inputs = self.trace.provenance.ids(args[0] if args else kwargs[key])

    def _before_neurons(
        self,
        layer: nn.Module,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._before(args, kwargs, "input_")
        calls = self.trace.neurons.get(name, [])
        for position, (state, what) in enumerate(STATES[type(layer)].items(), 1):
            passed = args[position] if len(args) > position else kwargs.get(state)
            value = getattr(layer, state) if passed is None else passed
            if calls and not self._carried(value, calls[-1], state):
                raise ModelError(
                    f"a neuron layer continues from its own {what}: {name!r} is given others in step {len(calls)}; "
                    f"pass the {what} that it returned, and reset them only before the first step"
                )
            if not calls and torch.any(value != 0):
                raise ModelError(
                    f"{what} start at 0: {name!r} is given others in the first step; start from reset_mem()"
                )

    def _carried(self, value: torch.Tensor, call: NeuronCall, state: str) -> bool:
        """Whether this is the state that the call left, as it was."""
        origin = self.trace.origin(ids := self.trace.provenance.ids(value))
        return (
            origin is not None
            and isinstance(origin.owner, State | Spikes)
            and origin.owner.call is call
            and (origin.owner.name if isinstance(origin.owner, State) else "spk") == state
            and np.array_equal(ids.ravel(), np.arange(origin.base, origin.base + origin.size))
        )

    def _after_linear(self, layer: nn.Module, name: str, result: torch.Tensor) -> None:
        assert self._inputs is not None
        self.trace.provenance.mark(result, LinearCall(name, layer, self._inputs.reshape(-1, layer.weight.shape[1])))
        self.trace.provenance.paused = False

    def _after_neurons(self, layer: snntorch.SpikingNeuron, name: str, result: Any) -> None:
        assert self._inputs is not None
        spikes = result[0] if isinstance(result, tuple) else result
        states = {state: getattr(layer, state) for state in STATES[type(layer)] if state != "spk"}
        calls = self.trace.neurons.setdefault(name, [])
        call = NeuronCall(
            name=name,
            layer=layer,
            step=len(calls),
            inputs=self._inputs,
            spikes=spikes.double().numpy().copy(),
            states={state: tensor.double().numpy().copy() for state, tensor in states.items()},
        )
        calls.append(call)
        for state, tensor in states.items():
            self.trace.provenance.mark(tensor, State(call, state))
        self.trace.provenance.mark(spikes, Spikes(call))
        self.trace.provenance.paused = False
