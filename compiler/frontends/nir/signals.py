"""What arrives at a node of a NIR graph: which node it comes from, through which Flattens and Delays, and its shape."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError, quoted
from ...ir.arrays import IntArray
from ...ir.verifier import MAX_DELAY
from ..chain import Chain
from .dialects import Conventions
from .layers import Shape, check_size, declared_shape, onto, without_batch
from .nodes import NirNode
from .structure import BETWEEN, LAYERS, PASSED, Structure


@dataclass(frozen=True, eq=False)
class Signal:
    """Values of the node `origin`, through the nodes `layers`, in `shape`, each `delay` steps late: a scalar, or one
    per value of the origin."""

    origin: str
    shape: Shape
    delay: IntArray
    layers: tuple[str, ...] = ()


class Signals:
    """The values that each node of a graph puts out.

    Raises ModelError, naming the node, for shapes that do not connect and for delays that are none.
    """

    def __init__(self, structure: Structure, conventions: Conventions) -> None:
        self.nodes = structure.nodes
        self.sources = structure.sources
        self.conventions = conventions
        self._known: dict[str, Signal] = {}
        self._follow(structure.input)
        for name in self.nodes:
            self._check_arriving(name)

    def of(self, name: str) -> Signal:
        """What the node `name` puts out."""
        return self._known[name]

    def into(self, name: str) -> list[Signal]:
        """What each source of the node `name` puts out."""
        return [self.of(source) for source in self.sources[name]]

    def _follow(self, start: str) -> None:
        """Find the signals of all nodes, from the input on: of each by the first that arrives."""
        targets: dict[str, list[str]] = {name: [] for name in self.nodes}
        for name, sources in self.sources.items():
            for source in sources:
                targets[source].append(name)
        self._known[start] = Signal(start, self._input_shape(start, targets[start]), np.zeros((), np.int64))
        waiting = deque((start, name) for name in targets[start])
        while waiting:
            source, name = waiting.popleft()
            if name not in self._known:
                self._known[name] = self._put_out(source, name)
                waiting += ((name, target) for target in targets[name])

    def _put_out(self, source: str, name: str) -> Signal:
        node, arriving = self.nodes[name], self._known[source]
        if node.type in PASSED:
            return self._passed(name, node, arriving)
        shape = self._through(source, name) if node.type in LAYERS else arriving.shape
        return Signal(name, shape, np.zeros((), np.int64))

    def _through(self, source: str, name: str) -> Shape:
        """The shape behind the layer `name` of what `source` puts out."""
        node, shape = self.nodes[name], self._known[source].shape
        inputs = node.fields["weight"].shape[1:]
        if len(inputs) == 1 and without_batch(shape) != inputs:
            raise ModelError(
                f"shapes connect: {quoted(source)} puts out {shape}, node {quoted(name)} takes {inputs}; correct one "
                "of them or flatten between them"
            )
        return onto(Chain(shape=shape), name, node).shape

    def _passed(self, name: str, node: NirNode, signal: Signal) -> Signal:
        if node.type == "Output":
            declared = declared_shape(name, node, "shape")
            if self.conventions.dialect.leading_axes:
                declared = declared[-1:] if len(signal.shape) == 1 else declared[-len(signal.shape) :]
            check_size(name, declared, signal.shape)
            return signal
        if node.type == "Delay":
            steps = _steps(name, node.fields["delay"], math.prod(signal.shape), self.conventions)
            if steps.ndim and any(self.nodes[layer].type in BETWEEN for layer in signal.layers):
                raise ModelError(
                    f"delays of each value stand before what is pooled or scaled: not so at node {quoted(name)}; swap "
                    "them, or delay all alike"
                )
            return replace(signal, delay=signal.delay + steps)
        shape = onto(Chain(shape=signal.shape), name, node).shape
        return replace(signal, shape=shape, layers=(*signal.layers, name))

    def _input_shape(self, name: str, targets: Sequence[str]) -> Shape:
        """The shape of one step's input, without what exporters leave of their example in front of a layer's values."""
        shape = declared_shape(name, self.nodes[name], "shape")
        wanted = max((_AXES.get(self.nodes[target].type, 0) for target in targets), default=0)
        leading = shape[: len(shape) - wanted]
        if wanted and (self.conventions.dialect.leading_axes or all(length == 1 for length in leading)):
            return shape[-wanted:]
        return shape

    def _check_arriving(self, name: str) -> None:
        """What arrives at a node from each of its sources suits it."""
        node = self.nodes[name]
        shapes = {source: self.of(source).shape for source in self.sources[name]}
        if len(shapes) < 2:
            return  # the node's own signal was found behind its one source
        if node.type in LAYERS:
            for source, shape in shapes.items():
                if self._through(source, name) != self.of(name).shape:
                    raise ModelError(f"what meets in a layer has one shape: node {quoted(name)} gets {shape} too")
        elif len({math.prod(shape) for shape in shapes.values()}) > 1:
            listed = ", ".join(f"{quoted(source)} {math.prod(shape)}" for source, shape in sorted(shapes.items())[:4])
            raise ModelError(f"what meets in a neuron has one size: node {quoted(name)} gets {listed}; correct them")


_AXES = {"Affine": 1, "Linear": 1, "Conv1d": 2, "Conv2d": 3, "SumPool2d": 3, "AvgPool2d": 3}
"""How many axes the values have that a node takes."""


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
