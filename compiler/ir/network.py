"""The sparse-layer IR: a graph of populations of neurons and the projections between them.

A `Network` exists at two levels. At the float level its dynamics are `IF`, `LIF`, `CubaLIF`, `LI` or `CubaLI` and its
weights are float arrays. At the integer level every dynamics is `IntegerDynamics` and every weight is `Quantised`;
nothing in between is valid. Both levels are executable (`spikeloom.sim`); `spikeloom.compiler.ir.verifier.verify`
checks either.

Arrays are read-only. A parameter of a population is a scalar (shape `()`) or has one entry per neuron (shape `(n,)`,
row-major over the population's shape).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import OptionError, quoted
from .arrays import IntArray, freeze, zero, zero_int
from .connectivity import Connectivity, Weights
from .neurons import MODELS, Dynamics, IntegerDynamics, ResetMode
from .origin import Origin
from .readout import ReadBy, Readout

INPUT = "input"
"""The name that projections use for the network's input; no population may have it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Population:
    """Neurons of one kind. `bias` is added to the input of every step; float, or integer in membrane units."""

    name: str
    shape: tuple[int, ...]
    dynamics: Dynamics
    bias: npt.NDArray[Any] = field(default_factory=zero)

    def __post_init__(self) -> None:
        freeze(self, ("bias",), np.int64 if isinstance(self.dynamics, IntegerDynamics) else np.float64)

    def __repr__(self) -> str:
        return f"<{self.name}: {_by(self.shape)} {self.dynamics.kind} neurons>"

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def fires(self) -> bool:
        """Whether its neurons can fire: all but leaky integrators."""
        return MODELS[self.dynamics.kind].fires

    @property
    def resets(self) -> bool:
        """Whether a spike changes a neuron's membrane. Neurons that fire several times in a step count as such."""
        if not self.fires:
            return False
        if isinstance(self.dynamics, IntegerDynamics):
            sure = self.dynamics.reset_mode is ResetMode.VALUE or self.dynamics.jump is not None or self.max_spikes > 1
            return sure or bool(np.any(self.dynamics.sub))
        return getattr(self.dynamics, "reset_mode", ResetMode.NONE) is not ResetMode.NONE

    @property
    def max_spikes(self) -> int:
        """How often one of its neurons can fire in a step."""
        return getattr(self.dynamics, "max_spikes", None) or 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Projection:
    """Synapses from `pre` (a population's name, or `INPUT`) to `post`.

    `delay` is in time steps: a scalar, [pre, post] for one per synapse or, where synapses share weights, (pre,) for one
    per pre neuron. `shift` is the e_p of the contract: the
    integer sum is shifted left by it into membrane units.

    `step_edge` says that spikes cross into a later step. A delay makes a projection one, and in every cycle there is
    one; any other projection acts within the step, from the input or an earlier population.
    """

    pre: str
    post: str
    connectivity: Connectivity
    delay: IntArray = field(default_factory=zero_int)
    shift: int = 0
    step_edge: bool = False

    def __post_init__(self) -> None:
        freeze(self, ("delay",), np.int64)
        if np.any(self.delay):
            object.__setattr__(self, "step_edge", True)

    def __repr__(self) -> str:
        kind, shape = type(self.connectivity).__name__.lower(), _by(self.connectivity.shape)
        return f"<{self.pre} -> {self.post}: {kind} {shape}, {self.connectivity.synapses:,} synapses>"

    def delayed(self, delay: IntArray) -> Projection:
        """The same synapses with another delay, a step edge where there is any."""
        return replace(self, delay=delay, step_edge=bool(np.any(delay)))

    @property
    def weights(self) -> Weights:
        return self.connectivity.weights


@dataclass(frozen=True, eq=False, kw_only=True)
class Network:
    """A spiking network in discrete time.

    `populations` stand in evaluation order: a projection that is no step edge comes from the input or from a population
    listed earlier. `input_shape` is the shape of one step's input, `x_max` the largest input value (spikes per step).
    Where `x_min` is below 0, samples come with values from it on, and the inputs are two for each (`signed`).
    `output` names the population that is read out. `dtype` is the framework's float type, `dt` its time step in seconds
    where that is known, `dialect` the conventions that it came from (for reports). `readout` says how a class is read
    off the output where that is not the default (`reading`), `origin` where a compressed network comes from.
    """

    input_shape: tuple[int, ...]
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    output: str
    x_max: int = 1
    x_min: int = 0
    dtype: str = "float32"
    dt: float | None = None
    dialect: str = "spikeloom"
    name: str = "network"
    readout: Readout | None = None
    origin: Origin | None = None

    def __repr__(self) -> str:
        """One line: a network's arrays are for nobody's eyes."""
        shapes = [f"input {_by(self.input_shape)}"]
        shapes += [f"{p.name} {_by(p.shape)} {p.dynamics.kind}" for p in self.populations]
        synapses = sum(projection.connectivity.synapses for projection in self.projections)
        level = "integer" if self.is_integer else "float"
        return f"<{level} network {self.name!r}: {' -> '.join(shapes)}; {synapses:,} synapses>"

    @property
    def input_size(self) -> int:
        return math.prod(self.input_shape)

    @property
    def largest_value(self) -> int:
        """The largest value that an input or a neuron can have in a step."""
        return max(int(self.x_max), *(population.max_spikes for population in self.populations))

    @property
    def is_integer(self) -> bool:
        """Whether this is the integer level."""
        return all(isinstance(p.dynamics, IntegerDynamics) for p in self.populations)

    @property
    def output_fires(self) -> bool:
        """Whether the output's neurons can fire."""
        return self.population(self.output).fires

    @property
    def reading(self) -> Readout:
        """How a class is read: by `readout`, else by spikes or, where the output never fires, the sum of membranes."""
        return self._default_reading if self.readout is None else self.readout

    @property
    def _default_reading(self) -> Readout:
        return Readout(by=ReadBy.SPIKES if self.output_fires else ReadBy.MEMBRANE_SUM)

    def reads_membranes_of(self, name: str) -> bool:
        """Whether the membranes of a population are compared or read out, so that they have one unit: those of the
        output where its readout is of membranes, and those of whatever never fires."""
        return not self.population(name).fires or (name == self.output and self.reading.of_membranes)

    @property
    def class_count(self) -> int:
        """How many classes the output tells apart."""
        return self.reading.class_count(self.size_of(self.output))

    def population(self, name: str) -> Population:
        """The population called `name`; KeyError where there is none."""
        for population in self.populations:
            if population.name == name:
                return population
        raise KeyError(name)

    def size_of(self, name: str) -> int:
        """The number of neurons of a population, or of inputs for `INPUT`."""
        return self.input_size if name == INPUT else self.population(name).size

    def projections_into(self, name: str) -> tuple[Projection, ...]:
        """The projections whose post population is `name`, in order."""
        return tuple(p for p in self.projections if p.post == name)

    def is_recurrent(self, projection: Projection) -> bool:
        """Whether a projection is a step edge from whose post population a way leads back to its pre population."""
        reached: set[str] = set()
        waiting = [projection.post]
        while waiting:
            name = waiting.pop()
            if name not in reached:
                reached.add(name)
                waiting += [p.post for p in self.projections if p.pre == name]
        return projection.step_edge and projection.pre in reached

    def with_readout(
        self, by: str | None = None, *, classes: int | None = None, threshold: int | None = None
    ) -> Network:
        """The same network, its class read so (see `Readout`); what is None stays as it is.

        Raises OptionError where the output cannot be read so.
        """
        given: dict[str, Any] = {"by": by, "classes": classes, "threshold": threshold}
        given = {name: value for name, value in given.items() if value is not None}
        if not given:
            return self
        if by is not None:
            if by not in list(ReadBy):
                raise OptionError(f"a class is read by one of {', '.join(ReadBy)}: got {quoted(by)}")
            given["by"] = ReadBy(by)
        chosen = replace(self.reading, **given)
        problem = chosen.problem(self.size_of(self.output), self.output_fires)
        if problem is not None:
            options = {"by": "--readout", "classes": "--classes", "threshold": "--readout-threshold"}
            raise OptionError(f"{problem}; change {' or '.join(options[name] for name in given)}")
        # Of an output that never fires the sum is a choice like any other: hardware takes another default.
        plain = self.output_fires and chosen == self._default_reading
        return replace(self, readout=None if plain else chosen)


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "1"
