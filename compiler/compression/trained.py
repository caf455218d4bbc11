"""Neurons that are trained with their weights: what a step leaves of their membranes, and what a spike subtracts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...hdl.errors import OptionError, quoted
from ..ir.network import Network
from ..ir.neurons import Arithmetic, ResetMode
from .simulation import Layer

if TYPE_CHECKING:
    import torch

    from .finetune import FineTune, Weights

LONGEST = 0.999
"""Of a membrane whose leak is trained a step leaves so much at most."""

TRAINED = ("beta", "sub")
"""What is trained of neurons, where it is, by its name in `Weights` and in `Layer`."""


def trains_neurons(options: FineTune) -> bool:
    """Whether anything of the neurons is trained."""
    return options.leaks or options.resets


def require_trainable(network: Network, options: FineTune) -> None:
    """OptionError where a leak does more than to keep a share of the membrane, or no neuron subtracts just once."""
    for population in network.populations if options.leaks else ():
        dynamics = population.dynamics
        plain = getattr(dynamics, "arithmetic", Arithmetic.DECAY) is Arithmetic.DECAY
        if not plain or np.any(getattr(dynamics, "v_leak", 0)):
            raise OptionError(
                f"leaks are trained where membranes leak to 0 and inputs are not scaled by the leak: those of "
                f"{quoted(population.name)} do not; leave out leaks"
            )
    subtract = (
        p.max_spikes == 1 and getattr(p.dynamics, "reset_mode", None) is ResetMode.SUBTRACT for p in network.populations
    )
    if options.resets and not any(subtract):
        raise OptionError(
            f"what a spike subtracts is trained where one does, once in a step: in {quoted(network.name)} none does; "
            "leave out resets"
        )


def begin(layers: Sequence[Layer], weights: Sequence[Weights], options: FineTune) -> None:
    """Give the weights what their neurons begin with."""
    for layer, item in zip(layers, weights, strict=True):
        subtracts = layer.form.spiking and layer.form.reset_mode is ResetMode.SUBTRACT and layer.form.max_spikes == 1
        item.beta = layer.beta.clone() if options.leaks and layer.form.leaky else None
        item.sub = layer.sub.clone() if options.resets and subtracts else None


def trained_of(item: Weights) -> Iterator[tuple[str, torch.Tensor]]:
    """What is trained of the neurons of one population."""
    for name in TRAINED:
        if (value := getattr(item, name)) is not None:
            yield name, value


def hold(item: Weights) -> None:
    """Keep leaks between none and `LONGEST`, and what is subtracted at 0 or above, in place."""
    if item.beta is not None:
        item.beta.clamp_(0, LONGEST)
    if item.sub is not None:
        item.sub.clamp_(min=0)


def with_trained(layers: Sequence[Layer], weights: Sequence[Weights]) -> list[Layer]:
    """The layers with what is trained of their neurons, through which gradients pass."""
    return [_changed(layer, item) for layer, item in zip(layers, weights, strict=True)]


def _changed(layer: Layer, item: Weights) -> Layer:
    layer = layer if item.beta is None else layer.leaking(item.beta)
    return layer if item.sub is None else replace(layer, model=replace(layer.model, sub=item.sub))


def settled(layers: Sequence[Layer], weights: Sequence[Weights]) -> list[Layer]:
    """The layers with what was trained of their neurons, if anything, as the network has it."""
    names = [[name for name, _ in trained_of(item)] for item in weights]
    changed = with_trained(layers, weights)
    return [layer.settled(own) if own else layer for layer, own in zip(changed, names, strict=True)]
