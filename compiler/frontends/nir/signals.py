"""What arrives at a node of a NIR graph: which node it comes from, through which Flattens and Delays, and its shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError, quoted
from ...ir.arrays import IntArray
from ...ir.verifier import MAX_DELAY
from .dialects import Conventions
from .nodes import NirNode
from .structure import LAYERS, PASSED, Structure

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Signal:
    """Values of the node `origin`, in `shape`, each `delay` steps late: a scalar, or one per value."""

    origin: str
    shape: Shape
    delay: IntArray


class Signals:
    """The values that each node of a graph puts out.

    Raises ModelError, naming the node, for shapes that do not connect and for delays that are none.
    """

    def __init__(self, structure: Structure, conventions: Conventions) -> None:
        self.nodes = structure.nodes
        self.sources = structure.sources
        self.conventions = conventions
        self._known: dict[str, Signal] = {}
        for name in self.nodes:
            self._check_arriving(name)

    def of(self, name: str) -> Signal:
        """What the node `name` puts out."""
        passed = []
        while name not in self._known and self.nodes[name].type in PASSED:
            passed.append(name)
            name = self.sources[name][0]
        if name not in self._known:
            self._known[name] = Signal(name, self._own_shape(name), np.zeros((), np.int64))
        signal = self._known[name]
        for name in reversed(passed):
            self._known[name] = signal = self._passed(name, signal)
        return signal

    def into(self, name: str) -> list[Signal]:
        """What each source of the node `name` puts out."""
        return [self.of(source) for source in self.sources[name]]

    def _own_shape(self, name: str) -> Shape:
        node = self.nodes[name]
        if node.type == "Input":
            return self._input_shape(name, node)
        if node.type in LAYERS:
            return self._layer_shape(name, node)
        return self._neuron_shape(name)

    def _passed(self, name: str, signal: Signal) -> Signal:
        node = self.nodes[name]
        if node.type == "Flatten":
            return Signal(signal.origin, _flattened(name, node, signal.shape), signal.delay)
        if node.type == "Delay":
            delay = signal.delay + _steps(name, node.fields["delay"], math.prod(signal.shape), self.conventions)
            return Signal(signal.origin, signal.shape, delay)
        declared = declared_shape(name, node, "shape")
        if self.conventions.dialect.leading_axes:
            declared = declared[-1:]
        _check_size(name, declared, signal.shape)
        return signal

    def _input_shape(self, name: str, node: NirNode) -> Shape:
        """The shape of one step's input, without what exporters leave of their example in front of a layer's vector."""
        shape = declared_shape(name, node, "shape")
        layers = [n for n, sources in self.sources.items() if name in sources and self.nodes[n].type in LAYERS]
        if not layers:
            return shape
        if self.conventions.dialect.leading_axes or all(length == 1 for length in shape[:-1]):
            return shape[-1:]
        return shape

    def _layer_shape(self, name: str, node: NirNode) -> Shape:
        weight = node.fields["weight"]
        if weight.ndim != 2 or not weight.size:
            raise ModelError(
                f"weights have the shape (outputs, inputs): node {quoted(name)} has {weight.shape}; reshape them"
            )
        return (weight.shape[0],)

    def _neuron_shape(self, name: str) -> Shape:
        sizes = {source: math.prod(self.of(source).shape) for source in self.sources[name]}
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{quoted(source)} {size}" for source, size in sorted(sizes.items())[:4])
            raise ModelError(f"what meets in a neuron has one size: node {quoted(name)} gets {listed}; correct them")
        return (next(iter(sizes.values())),)

    def _check_arriving(self, name: str) -> None:
        """What arrives at a layer has its number of inputs."""
        node = self.nodes[name]
        self.of(name)
        if node.type not in LAYERS:
            return
        inputs = node.fields["weight"].shape[1]
        for source in self.sources[name]:
            shape = self.of(source).shape
            if _without_batch(shape) != (inputs,):
                raise ModelError(
                    f"shapes connect: {quoted(source)} puts out {shape}, node {quoted(name)} takes ({inputs},); "
                    "correct one of them or flatten between them"
                )


def _steps(name: str, delay: npt.NDArray[Any], size: int, conventions: Conventions) -> IntArray:
    """The delay of a Delay node in steps, to the nearest: a scalar where it is the same for all values."""
    if delay.size not in (1, size):
        raise ModelError(
            f"a Delay has one delay, or one for each value ({size}): node {quoted(name)} has the shape {delay.shape}"
        )
    steps = np.floor(delay.astype(np.float64).reshape(-1) / conventions.dt + 0.5)
    if not np.all((steps >= 0) & (steps <= MAX_DELAY)):
        wrong = delay.reshape(-1)[~((steps >= 0) & (steps <= MAX_DELAY))][0]
        raise ModelError(
            f"delays are 0 to {MAX_DELAY} steps: node {quoted(name)} has {float(wrong):g}, with the time step "
            f"{conventions.dt:g}; shorten it, or give another --dt"
        )
    return (steps[0] if np.all(steps == steps[0]) else steps).astype(np.int64)


def _flattened(name: str, node: NirNode, arriving: Shape) -> Shape:
    if "input_type" in node.fields:
        declared = declared_shape(name, node, "input_type")
        _check_size(name, declared, arriving)
        arriving = declared
    dims = len(arriving)
    start, end = (_dimension(name, node, field, dims) for field in ("start_dim", "end_dim"))
    if start > end:
        raise ModelError(f"a Flatten starts before it ends: node {quoted(name)} goes from {start} to {end}")
    return (*arriving[:start], math.prod(arriving[start : end + 1]), *arriving[end + 1 :])


def _check_size(name: str, declared: Shape, arriving: Shape) -> None:
    if math.prod(declared) != math.prod(arriving):
        raise ModelError(
            f"shapes connect: node {quoted(name)} expects {declared}, {arriving} arrives; correct one of them"
        )


def _without_batch(shape: Shape) -> Shape:
    """The shape without leading axes of length 1, which are batch axes in front of a vector."""
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape


def declared_shape(name: str, node: NirNode, field: str) -> Shape:
    """A shape as the node declares it."""
    value = node.fields[field]
    if value.dtype.kind not in "iu" or value.ndim > 1 or not value.size or np.any(value < 1) or np.any(value > 1 << 31):
        raise ModelError(
            f"a shape is a list of positive integers: {field} of node {quoted(name)} is {quoted(value.tolist())}"
        )
    return tuple(int(length) for length in value.reshape(-1))


def _dimension(name: str, node: NirNode, field: str, dims: int) -> int:
    value = node.fields[field]
    if value.dtype.kind not in "iu" or value.size != 1 or not -dims <= int(value.flat[0]) < dims:
        raise ModelError(
            f"a Flatten takes dimensions that exist, of {dims}: {field} of node {quoted(name)} is "
            f"{quoted(value.tolist())}; correct it"
        )
    return int(value.flat[0]) % dims
