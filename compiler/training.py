"""Training in torch on snnTorch's neurons: a spiking network, learnable delays, and thresholds that adapt.

This module needs torch and snntorch (the extra `torch`); nothing else in the package imports it.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..hdl.errors import ModelError, OptionError, SampleError, installing

try:
    import snntorch
    import torch
    from snntorch import surrogate, utils
    from torch import nn
except ImportError as error:
    raise ImportError(
        f"spikeloom.compiler.training needs torch and snntorch: {error.name} is missing; "
        f"install them with {installing('torch')}",
        name=error.name,
    ) from error

from .compression.layers import checked_layers
from .compression.quantization import quantize_delays
from .frontends.snntorch.adaptive import AdaptiveLeaky as AdaptiveLeaky
from .ir.arrays import IntArray
from .ir.connectivity import Dense
from .ir.network import INPUT, Network, Population, Projection
from .ir.neurons import LIF, ResetPlace

LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class SpikingNet(nn.Module):
    """`n_layers` hidden layers of `n_hidden` leaky integrate-and-fire neurons between inputs and outputs.

    The neurons are `snntorch.Leaky` with one `beta` and `threshold`, the surrogate gradient a fast sigmoid; `layers` is
    the `nn.Sequential` of one time step.
    """

    def __init__(
        self,
        n_input: int,
        n_hidden: int,
        n_output: int,
        *,
        n_layers: int = 1,
        beta: float = 0.9,
        threshold: float = 1.0,
        slope: float = 25.0,
    ) -> None:
        super().__init__()
        for name, value in (
            ("n_input", n_input),
            ("n_hidden", n_hidden),
            ("n_output", n_output),
            ("n_layers", n_layers),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise OptionError(f"{name} is a whole number, 1 or more: got {value!r}")
        if not 0 <= beta <= 1 or not threshold > 0:
            raise OptionError(f"beta is 0 to 1 and threshold above 0: got {beta!r} and {threshold!r}")
        self.n_input, self.beta, self.threshold = n_input, float(beta), float(threshold)
        sizes = (n_input, *[n_hidden] * n_layers, n_output)
        layers: list[nn.Module] = []
        for number, (pre, post) in enumerate(pairwise(sizes), 1):
            layers.append(nn.Linear(pre, post))
            gradient = surrogate.fast_sigmoid(slope=slope)
            last = number == n_layers + 1
            layers.append(snntorch.Leaky(beta, threshold, spike_grad=gradient, init_hidden=True, output=last))
        self.layers = nn.Sequential(*layers)

    def forward(self, spikes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Spikes [steps, batch, inputs] to output spike counts [batch, n] and membranes [steps, batch, n]."""
        utils.reset(self.layers)
        counts, membranes = torch.zeros((), device=spikes.device), []
        for step in spikes:
            fired, membrane = self.layers(step)
            counts = counts + fired
            membranes.append(membrane)
        return counts, torch.stack(membranes)

    @property
    def linears(self) -> list[nn.Linear]:
        """The layers with weights, in order."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def to_sc_weights(self) -> list[dict[str, Any]]:
        """`weight` (inputs, outputs) and `bias` (outputs,) of every layer, arrays with their trained sign and scale."""
        arrays = [[t.detach().cpu().numpy() for t in (linear.weight, linear.bias)] for linear in self.linears]
        return [{"weight": weight.T.copy(), "bias": bias.copy()} for weight, bias in arrays]

    def to_network(self, weights: Sequence[Any] | None = None) -> Network:
        """The float network, which fires as this module does; with other `weights` where they are given.

        `weights` is a list like `to_sc_weights`'s, or of arrays alone, which keep this module's biases; layers may have
        lost hidden neurons in the first form. Raises ModelError for weights that do not suit.
        """
        own = self.to_sc_weights()
        given = own if weights is None else list(weights)
        if len(given) != len(own):
            raise ModelError(f"weights are a list of {len(own)} layers: got {len(given)}")
        layers = [
            layer if isinstance(layer, Mapping) else {"weight": layer, "bias": old["bias"]}
            for layer, old in zip(given, own, strict=True)
        ]
        matrices = checked_layers(layers)
        if matrices[0][0].shape[0] != self.n_input or matrices[-1][0].shape[1] != own[-1]["weight"].shape[1]:
            raise ModelError(
                f"weights keep inputs and outputs, {self.n_input} and {own[-1]['weight'].shape[1]}: "
                f"they have {matrices[0][0].shape[0]} and {matrices[-1][0].shape[1]}"
            )
        names = [INPUT, *(f"hidden{number}" for number in range(1, len(own))), "output"]
        beta, threshold = (float(np.float32(x)) for x in (self.beta, self.threshold))
        dynamics = LIF(beta=np.array(beta), threshold=np.array(threshold), reset_place=ResetPlace.NEXT)
        return Network(
            input_shape=(self.n_input,),
            populations=tuple(
                Population(
                    name=name, shape=(matrix.shape[1],), dynamics=dynamics, bias=np.zeros(()) if b is None else b
                )
                for name, (matrix, b) in zip(names[1:], matrices, strict=True)
            ),
            projections=tuple(
                Projection(pre=pre, post=post, connectivity=Dense(weights=matrix))
                for pre, post, (matrix, _) in zip(names, names[1:], matrices, strict=False)
            ),
            output="output",
            dialect="snntorch",
            name=type(self).__name__,
        )


def spike_count_loss(counts: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The cross-entropy of the output spike counts [batch, outputs]."""
    return nn.functional.cross_entropy(counts, targets)


def train_epoch(
    model: SpikingNet,
    loader: Iterable[tuple[torch.Tensor, torch.Tensor]],
    optimizer: torch.optim.Optimizer,
    n_timesteps: int,
    loss_fn: LossFunction = spike_count_loss,
    device: str = "cpu",
) -> tuple[float, float]:
    """One pass over the (inputs, targets) of `loader`; the mean loss and the accuracy of what was seen on the way.

    Inputs are spikes [batch, n_timesteps, inputs], or values 0..1 [batch, inputs...], the chance of a spike in each
    step; values beyond 0..1 are given as they are in every step, with a warning, as the hardware takes spikes. Raises
    SampleError for other inputs and for an empty loader.
    """
    model.train()
    return _epoch(model, loader, n_timesteps, loss_fn, device, optimizer)


def evaluate(
    model: SpikingNet,
    loader: Iterable[tuple[torch.Tensor, torch.Tensor]],
    n_timesteps: int,
    loss_fn: LossFunction = spike_count_loss,
    device: str = "cpu",
) -> tuple[float, float]:
    """Mean loss and accuracy on the (inputs, targets) of `loader`; see `train_epoch`."""
    model.eval()
    with torch.no_grad():
        return _epoch(model, loader, n_timesteps, loss_fn, device, None)


def _epoch(
    model: SpikingNet,
    loader: Iterable[tuple[torch.Tensor, torch.Tensor]],
    n_timesteps: int,
    loss_fn: LossFunction,
    device: str,
    optimizer: torch.optim.Optimizer | None,
) -> tuple[float, float]:
    if isinstance(n_timesteps, bool) or not isinstance(n_timesteps, int) or n_timesteps < 1:
        raise OptionError(f"n_timesteps is a whole number, 1 or more: got {n_timesteps!r}")
    model.to(device)
    total, right, seen = 0.0, 0, 0
    for inputs, targets in loader:
        spikes, targets = encode(inputs, n_timesteps, model.n_input).to(device), targets.to(device)
        counts, _ = model(spikes)
        loss = loss_fn(counts, targets)
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        total += float(loss.detach()) * len(targets)
        right += int((counts.argmax(1) == targets).sum())
        seen += len(targets)
    if not seen:
        raise SampleError("a loader holds samples: it is empty")
    return total / seen, right / seen


def encode(inputs: torch.Tensor, n_timesteps: int, n_input: int) -> torch.Tensor:
    """Inputs of `train_epoch` as [n_timesteps, batch, n_input], values 0..1 as Bernoulli trials in each step."""
    if inputs.ndim == 3 and inputs.shape[1:] == (n_timesteps, n_input):
        return inputs.transpose(0, 1).float()
    flat = inputs.flatten(1).float() if inputs.ndim > 1 else inputs
    if flat.ndim != 2 or flat.shape[1] != n_input or not len(flat):
        raise SampleError(
            f"inputs are spikes [batch, {n_timesteps}, {n_input}] or values [batch, {n_input}]: "
            f"got {list(inputs.shape)}"
        )
    if not bool(torch.isfinite(flat).all()):
        raise SampleError("inputs are finite: these hold NaN or Inf; repair them")
    repeated = flat.expand(n_timesteps, *flat.shape)
    if bool(torch.any((flat < 0) | (flat > 1))):
        warnings.warn(
            "inputs are the chance of a spike, 0 to 1: some lie beyond and are given as currents in every step; the "
            "hardware takes spikes, so scale them",
            stacklevel=4,
        )
        return repeated
    return torch.bernoulli(repeated)


class DelayLinear(nn.Module):
    """A linear layer with a weight and a learnable delay for every synapse.

    Output j of a step is the bias plus the sum of weight[j, i] times input i of delay[j, i] steps before; between two
    steps inputs are interpolated linearly, which gives the delay its gradient. Delays stay in 0..max_delay steps;
    without `init_delay` they start uniformly distributed. The layer remembers inputs from call to call: `reset` before
    every sample.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        max_delay: int = 16,
        learn_delay: bool = True,
        init_delay: float | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if isinstance(max_delay, bool) or not isinstance(max_delay, int) or max_delay < 1:
            raise OptionError(f"max_delay is a whole number of steps, 1 or more: got {max_delay!r}")
        if init_delay is not None and not 0 <= init_delay <= max_delay:
            raise OptionError(f"init_delay is 0 to max_delay, {max_delay} steps: got {init_delay!r}")
        self.max_delay = max_delay
        linear = nn.Linear(in_features, out_features, bias=bias)
        self.weight, self.bias = linear.weight, linear.bias
        delay = (
            torch.rand(out_features, in_features) * max_delay
            if init_delay is None
            else torch.full_like(linear.weight, init_delay)
        )
        self.delay = nn.Parameter(delay.detach(), requires_grad=learn_delay)
        self._history: deque[torch.Tensor] = deque(maxlen=max_delay + 2)

    def reset(self) -> None:
        """Forget all inputs."""
        self._history = deque(maxlen=self.max_delay + 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """One time step: inputs [batch, in_features] to currents [batch, out_features]."""
        self._history.appendleft(inputs)
        delay = (
            self.delay + (self.delay.clamp(0, self.max_delay) - self.delay).detach()
        )  # the gradient passes the clamp
        lower = delay.detach().floor()
        share = delay - lower
        total = 0.0 if self.bias is None else self.bias
        for age, past in enumerate(self._history):
            part = (lower == age) * (1 - share) + (lower + 1 == age) * share
            total = total + past @ (self.weight * part).T
        return total

    step = forward

    @property
    def delays(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The delays in steps, (inputs, outputs)."""
        return self.delay.detach().cpu().double().clamp(0, self.max_delay).numpy().T.copy()

    @property
    def delays_int(self) -> IntArray:
        """The delays in whole steps, (inputs, outputs), as a `Projection` takes them."""
        return quantize_delays(self.delays, resolution=1)
