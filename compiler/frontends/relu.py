"""Networks of rectified linear units as spiking ones: integrate-and-fire neurons whose rates are the activations.

A neuron that integrates its input, fires at 1 and subtracts 1 fires in the share of the steps that its mean input is,
as long as that is between 0 and 1 (Cao, Chen, Khosla, IJCV 2015; Diehl et al., IJCNN 2015). So each layer's weights are
scaled until its activations hardly exceed 1 (threshold balancing), and membranes start half way to the threshold, which
halves what a count of few steps is off (Bu et al., ICLR 2022). The outputs integrate without firing: their membranes
after T steps are about T times the outputs of the original.

This module needs torch and snntorch (the extra `torch`); nothing else in the package imports it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import ModelError, OptionError, SampleError, installing

try:
    import snntorch
    import torch
    from torch import nn
except ImportError as error:
    raise ImportError(
        f"spikeloom.compiler.frontends.relu needs torch and snntorch: {error.name} is missing; "
        f"install them with {installing('torch')}",
        name=error.name,
    ) from error

from ..ir.network import Network, Population
from ..ir.neurons import IF, LI, ResetPlace
from ..ir.readout import ReadBy
from .snntorch.frontend import from_snntorch

HALF = 0.5
"""Where membranes start, in units of the threshold."""

_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
_TRANSPARENT = (nn.Flatten, nn.AvgPool1d, nn.AvgPool2d, nn.Dropout, nn.Dropout2d, nn.Identity)


def from_relu(
    module: nn.Sequential, input_shape: int | Sequence[int], samples: npt.ArrayLike, *, percentile: float = 99.9
) -> Network:
    """The spiking network of a trained ReLU network, a float network that every command takes.

    `module` is an `nn.Sequential` of `Linear`, `Conv1d` and `Conv2d` layers, each followed by a `ReLU` but the last,
    whose outputs are the scores of the classes; average poolings, `Flatten` and `Dropout` may stand between. Its inputs
    are 0 to 1, as a rate code shows them. `samples` [samples, *input_shape] are such inputs; the `percentile` of a
    layer's activations on them becomes a rate of 1, and what is beyond is cut off. The class is the largest membrane
    after the last step.

    Raises ModelError for other modules, SampleError for samples that do not suit, OptionError for a percentile that is
    none.
    """
    if not 0 < percentile <= 100:
        raise OptionError(f"a percentile is above 0 and 100 at most: got {percentile:g}")
    inputs = _inputs(samples, input_shape)
    layers = _checked(module)
    network = from_snntorch(_balanced(layers, inputs, percentile), input_shape)
    populations = tuple(_converted(p, p.name == network.output) for p in network.populations)
    return replace(network, populations=populations).with_readout(ReadBy.MEMBRANE_LAST)


def _inputs(samples: npt.ArrayLike, input_shape: int | Sequence[int]) -> torch.Tensor:
    """The samples as float32; SampleError where they are no rates of such inputs."""
    shape = (input_shape,) if isinstance(input_shape, int) else tuple(input_shape)
    values = np.asarray(samples)
    if values.dtype.kind not in "fiub" or values.ndim < 2 or len(values) == 0 or values.shape[1:] != shape:
        raise SampleError(f"samples are numbers [samples, {', '.join(map(str, shape))}]: got {list(values.shape)}")
    values = values.astype(np.float32)
    if not (np.all(values >= 0) and np.all(values <= 1)):
        raise SampleError(f"inputs are rates, 0 to 1: got {values.min():g} to {values.max():g}; scale them")
    return torch.from_numpy(values)


def _checked(module: nn.Sequential) -> list[nn.Module]:
    """Copies of the layers; ModelError where they do not follow each other as they must."""
    if not isinstance(module, nn.Sequential):
        raise ModelError(f"a ReLU network is an nn.Sequential of its layers: got a {type(module).__name__}")
    waiting: str | None = None  # the last layer of weights that no ReLU followed
    for name, layer in module.named_children():
        if isinstance(layer, _WEIGHTED):
            if waiting is not None:
                raise ModelError(f"a ReLU follows each layer but the last: none follows {waiting}")
            waiting = name
        elif isinstance(layer, nn.ReLU):
            if waiting is None:
                raise ModelError(f"a ReLU follows a layer with weights: layer {name} follows none")
            waiting = None
        elif not isinstance(layer, _TRANSPARENT):
            raise ModelError(
                f"layers are Linear, Conv1d, Conv2d, ReLU, average poolings, Flatten and Dropout: layer {name} is "
                f"{type(layer).__name__}; replace it and train again"
            )
    if waiting is None:
        raise ModelError("the outputs of a ReLU network are scores: its last layer has weights and no ReLU behind it")
    return [copy.deepcopy(layer).eval() for layer in module]


def _balanced(layers: Sequence[nn.Module], inputs: torch.Tensor, percentile: float) -> nn.Sequential:
    """The layers with neurons for ReLUs, their weights scaled to rates; the outputs keep the scale of the scores."""
    result: list[nn.Module] = []
    values, before = inputs, 1.0  # activations as they were trained, and the activation that is a rate of 1
    weighted: Any = None
    with torch.no_grad():
        for layer in layers:
            values = layer(values)
            if isinstance(layer, nn.ReLU):
                largest = float(np.percentile(values.numpy(), percentile)) or float(values.max()) or 1.0
                _rescale(weighted, before, largest)
                before = largest
                result.append(_neurons(output=False))
                continue
            if isinstance(layer, _WEIGHTED):
                weighted = layer
            result.append(layer)
        _rescale(weighted, before, 1.0)
    return nn.Sequential(*result, _neurons(output=True))


def _rescale(layer: Any, before: float, after: float) -> None:
    """Weights that take rates and give rates, of activations up to `before` and `after`."""
    layer.weight.mul_(before / after)
    if layer.bias is not None:
        layer.bias.div_(after)


def _neurons(*, output: bool) -> nn.Module:
    neurons: nn.Module = snntorch.Leaky(beta=1.0, reset_mechanism="none", init_hidden=True, output=output)
    return neurons


def _converted(population: Population, output: bool) -> Population:
    """The neurons that `_neurons` stand for: integrators that fire at 1, or as outputs never."""
    if output:
        return replace(population, dynamics=LI(beta=np.ones(())))
    return replace(
        population, dynamics=IF(threshold=np.ones(()), v_init=np.full((), HALF), reset_place=ResetPlace.SAME)
    )
