"""snnTorch modules as networks.

`forward` runs on probes while every layer's inputs are traced to the elements that they came from
(`trace`). From the trace the graph is read, each step must repeat it, and one step of the network that was
read is compared with each step that the module made (`check`). What is left over is refused by name.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError, installing, quoted
from ...ir.network import INPUT, Network, Population, Projection
from ...ir.signed import with_signed_inputs
from ...ir.verifier import MAX_X, verify
from .check import check_steps
from .graph import LayoutError, Term, check_reached, output_layer, repeated_terms

if TYPE_CHECKING:
    from torch import nn

    from .trace import Trace


def from_snntorch(module: nn.Module, input_shape: int | Sequence[int], *, x_max: int = 1, x_min: int = 0) -> Network:
    """The float network that a snnTorch module computes.

    `module` is an `nn.Sequential` or has its own `forward(x)`, made of `Linear`, `Conv1d` and `Conv2d` layers, poolings
    (maximum, average, `LPPool` of power 1) of spikes or behind a convolution, `BatchNorm` in evaluation mode, factors,
    `Leaky`, `Synaptic`, `RLeaky` and `RSynaptic` neurons, our own `DelayLinear` and `AdaptiveLeaky`
    (`spikeloom.compiler.training`), `Flatten`, `Identity` and `Dropout` (without effect, as in evaluation). `forward`
    is one time step on [batch, *input_shape], with neurons that keep their states (`init_hidden=True`), or a loop over
    the steps of [steps, batch, *input_shape] or [batch, steps, *input_shape], or of the same [batch, *input_shape] in
    each; each step must compute the same graph, in which layers may receive spikes of earlier steps, their own too. It
    returns the spikes of the output layer, of a step or stacked, alone or with states. `input_shape` is one step's
    input of one sample (a number stands for a vector, (channels, length) or (channels, rows, columns) are maps),
    `x_max` the largest number of spikes per input and step. With an `x_min` below 0 inputs are signed, x_min to x_max,
    and become two for each of C channels: c for the positive values, C + c for the negative ones, with weights of the
    opposite sign.

    Parameters are taken over exactly. The training flag and the states that the module holds are left as they are and
    not read, as a sample starts from 0: a warning names layers that training or a run left with others. Raises
    ModelError, naming the layer or operation, for anything else.
    """
    shape = _shape(input_shape)
    if not _is_whole(x_max) or not 1 <= x_max <= MAX_X:
        raise ModelError(f"x_max, the largest input value, is 1 to {MAX_X}: got {x_max!r}")
    if not _is_whole(x_min) or not -MAX_X <= x_min <= 0:
        raise ModelError(f"x_min, the smallest input value, is {-MAX_X} to 0: got {x_min!r}")
    _check_module(module)
    _warn_of_states(module)
    network = with_signed_inputs(_read(module, shape, int(x_max)), int(x_min))
    verify(network)
    return network


def _shape(given: Any) -> tuple[int, ...]:
    shape = tuple(given) if isinstance(given, Iterable) else (given,)
    if not shape or not all(_is_whole(n) and n > 0 for n in shape):
        raise ModelError(f"input_shape is the shape of one step's input, such as (64,): got {quoted(given)}")
    return tuple(int(n) for n in shape)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def require_torch() -> None:
    """ModelError where torch or snnTorch are not installed."""
    try:
        import snntorch  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise ModelError(
            f"reading a snnTorch module needs torch and snntorch: {error.name} is missing; "
            f"install them with {installing('torch')}"
        ) from None


def _check_module(module: Any) -> None:
    require_torch()
    import torch

    from .remedies import check_not_wrapped

    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"from_snntorch reads a torch.nn.Module: got {type(module).__name__}")
    check_not_wrapped(module)
    for name, layer in module.named_modules():
        if layer.training and isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            raise ModelError(
                "batch normalisation is folded with its running statistics, which training does not use: "
                f"{name!r} is in training mode; call module.eval() first"
            )
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.device.type != "cpu":
            raise ModelError(
                f"from_snntorch reads modules on the CPU: {name!r} is on {tensor.device}; call module.cpu() first"
            )


def _warn_of_states(module: nn.Module) -> None:
    from .trace import STATES

    held = [
        name
        for name, layer in module.named_modules()
        if any(bool((getattr(layer, state) != 0).any()) for state in STATES.get(type(layer), ()))
    ]
    if held:
        listed = ", ".join(repr(name) for name in held[:4])
        warnings.warn(
            f"a sample starts from states of 0: those that training or a run left in {listed} are not read; "
            "snntorch.utils.reset(module) clears them in the module",
            stacklevel=3,
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
        except LayoutError as error:
            refused = refused or error
    if refused is not None:
        raise refused
    words = " ".join(f"{type(failures[0]).__name__}: {failures[0]}".split())
    raise ModelError(
        f"forward(x) takes [batch, *{list(input_shape)}], or that with a first or second axis of time steps: "
        f"it raised {words[:200]}"
    )


def _network(trace: Trace, input_shape: tuple[int, ...], x_max: int, name: str) -> Network:
    from .parameters import chain_of, delay_of, dynamics_of, float_type

    if not trace.neurons:
        raise ModelError(f"a spiking network has neurons: forward of {name} calls no snntorch.Leaky or Synaptic layer")
    terms = repeated_terms(trace)
    output = output_layer(trace, terms)
    check_reached(terms, output)
    dtype = float_type(trace, [layer for into in terms.values() for term in into for layer in term.layers])
    renamed = {layer: f"{INPUT}_neurons" if layer == INPUT else layer for layer in terms}
    shapes = {layer: calls[0].spikes.shape[1:] for layer, calls in trace.neurons.items()}
    chains = {
        layer: [chain_of(t.layers, shapes.get(t.source.layer or "", input_shape), shapes[layer]) for t in into]
        for layer, into in terms.items()
    }
    populations = []
    for layer, calls in trace.neurons.items():
        dynamics = dynamics_of(layer, calls[0].layer, shapes[layer], dtype)
        bias = sum((chain.bias for chain in chains[layer]), np.zeros(()))
        populations.append(Population(name=renamed[layer], shape=shapes[layer], dynamics=dynamics, bias=bias))
    network = Network(
        input_shape=input_shape,
        populations=tuple(populations),
        projections=tuple(
            Projection(
                pre=INPUT if term.source.layer is None else renamed[term.source.layer],
                post=renamed[layer],
                connectivity=chain.connectivity(repr(layer)),
                delay=delay_of(term.layers, term.lag),
            )
            for layer, into in terms.items()
            for term, chain in zip(into, chains[layer], strict=True)
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


def _steps(values: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """[batch, *neurons] of every step as [steps, batch, neurons]."""
    return np.stack(values).reshape(len(values), len(values[0]), -1)


def _input_values(trace: Trace, terms: Mapping[str, list[Term]]) -> npt.NDArray[Any]:
    """The probes as the neurons got them, [steps, batch, inputs]."""
    steps = len(next(iter(trace.neurons.values())))
    if trace.has_time:
        axis = next(t.source.axis for into in terms.values() for t in into if t.source.layer is None)
        return _steps(list(np.moveaxis(trace.probes[0], axis or 0, 0)[:steps]))
    return _steps(trace.probes if len(trace.probes) > 1 else trace.probes * steps)
