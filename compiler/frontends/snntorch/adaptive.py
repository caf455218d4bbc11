"""A trainable layer of leaky neurons whose thresholds adapt (ALIF), in the manner of snnTorch's own.

The neurons are those of Bellec et al., Long short-term memory and learning-to-learn in networks of spiking neurons
(NeurIPS 2018): each spike raises the threshold by `jump`, and what was raised decays by `rho` in a step. They step as
the arithmetic contract says (docs/arithmetic.md), so that `from_snntorch` reads them exactly.
"""

from __future__ import annotations

from typing import Any

import snntorch
import torch
from torch import nn

from ....hdl.errors import OptionError

RESETS = ("subtract", "zero")


class AdaptiveLeaky(snntorch.Leaky):  # type: ignore[misc, unused-ignore]
    """Leaky integrate-and-fire neurons with an adaptive threshold, a drop-in for `snntorch.Leaky`.

    With s the spikes of the step before (0 in a sample's first step) and A the threshold in this one,

        a = rho*a + jump*s;  A = threshold + a
        reset_delay:  mem = beta*mem + x - s*A  (zero: beta*(1 - s)*mem + x);  spk = mem > A
        at once:      mem = beta*mem + x;  spk = mem > A;  mem = mem - spk*A  (zero: (1 - spk)*mem)

    `beta` and `rho` are clipped to 0..1. Parameters are numbers or tensors, one for all or one per neuron, and learnt
    where `learn_...` says so. The surrogate gradient is that of `spike_grad` (snnTorch's default without one); it
    passes through the adaptation, not through resets. With `init_hidden` the layer keeps its states and gives spikes,
    or with `output` spikes and membranes; without, `forward(x, spk, mem, adapt)` gives all three states back, to be
    passed on, and `reset_mem()` the first ones. `snntorch.utils.reset` clears all states too, as does whoever sets
    `mem`.

    Raises OptionError for a `reset_mechanism` other than subtract or zero, and for a `rho` that is not 0 to 1.
    """

    rho: torch.Tensor
    jump: torch.Tensor
    spk: torch.Tensor
    mem: torch.Tensor
    adapt: torch.Tensor

    def __init__(
        self,
        beta: float | torch.Tensor,
        rho: float | torch.Tensor,
        jump: float | torch.Tensor,
        threshold: float | torch.Tensor = 1.0,
        *,
        spike_grad: Any = None,
        init_hidden: bool = False,
        learn_beta: bool = False,
        learn_rho: bool = False,
        learn_jump: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        output: bool = False,
        reset_delay: bool = True,
    ) -> None:
        if reset_mechanism not in RESETS:
            raise OptionError(
                f"neurons whose threshold adapts reset by one of {', '.join(RESETS)}: got {reset_mechanism!r}"
            )
        share = torch.as_tensor(rho).detach()
        if not bool(torch.all((share >= 0) & (share <= 1))):
            raise OptionError(f"rho is the share of the adaptation that a step keeps, 0 to 1: got {rho!r}")
        super().__init__(
            beta,
            threshold,
            spike_grad=spike_grad,
            init_hidden=init_hidden,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            reset_mechanism=reset_mechanism,
            output=output,
            reset_delay=reset_delay,
        )
        for name, value, learn in (("rho", rho, learn_rho), ("jump", jump, learn_jump)):
            tensor = torch.as_tensor(value, dtype=torch.get_default_dtype() if isinstance(value, int) else None)
            if learn:
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)
        for name in ("spk", "adapt"):
            self.register_buffer(name, torch.zeros(0), persistent=False)

    def __setattr__(self, name: str, value: Any) -> None:
        """Membranes that are set start a sample."""
        super().__setattr__(name, value)
        if name == "mem":
            self.spk = self.adapt = torch.zeros_like(value)

    def reset_mem(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Clear the states, and give them: spikes, membranes, adaptation."""
        self.mem = torch.zeros_like(self.mem)
        return self.spk, self.mem, self.adapt

    def forward(
        self,
        input_: torch.Tensor,
        spk: torch.Tensor | None = None,
        mem: torch.Tensor | None = None,
        adapt: torch.Tensor | None = None,
    ) -> Any:
        """One step: input currents [batch, neurons...] to spikes, with the states as the class says."""
        given = (spk, mem, adapt)
        if self.init_hidden and any(state is not None for state in given):
            raise TypeError("states are not passed to neurons that keep them (init_hidden=True)")
        spk, mem, adapt = (
            own if state is None else state for state, own in zip(given, (self.spk, self.mem, self.adapt), strict=True)
        )
        spk, mem, adapt = (
            state if state.shape == input_.shape else torch.zeros_like(input_) for state in (spk, mem, adapt)
        )
        adapt = self.rho.clamp(0, 1) * adapt + self.jump * spk
        threshold = self.threshold + adapt
        if self.reset_delay:
            mem = self._delayed(mem, input_, spk.detach(), threshold)
            spk = self.spike_grad(mem - threshold)
        else:
            mem = self.beta.clamp(0, 1) * mem + input_
            spk = self.spike_grad(mem - threshold)
            fired = spk.detach()
            mem = mem - fired * threshold if self._subtracts else (1 - fired) * mem
        self.mem = mem
        self.spk, self.adapt = spk, adapt
        if not self.init_hidden:
            return spk, mem, adapt
        return (spk, mem) if self.output else spk

    @property
    def _subtracts(self) -> bool:
        return int(self.reset_mechanism_val) == 0

    def _delayed(
        self, mem: torch.Tensor, input_: torch.Tensor, fired: torch.Tensor, threshold: torch.Tensor
    ) -> torch.Tensor:
        if self._subtracts:
            return self.beta.clamp(0, 1) * mem + input_ - fired * threshold
        return self.beta.clamp(0, 1) * ((1 - fired) * mem) + input_

    @classmethod
    def detach_hidden(cls) -> None:
        """Cut the gradient of all states of all such layers, for truncated backpropagation through time."""
        for layer in cls.instances:
            if isinstance(layer, AdaptiveLeaky):
                spk, mem, adapt = (state.detach() for state in (layer.spk, layer.mem, layer.adapt))
                layer.mem = mem
                layer.spk, layer.adapt = spk, adapt
