"""Which pre neurons reach which post neurons, and with what weights.

A connectivity answers for itself: whoever needs sums, bounds, counts, codes, real weights or the neurons that share a
scale asks it, and nobody looks at its arrays to find out what kind it is. `Dense` is the first member.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ...hdl.errors import ModelError
from .arrays import FloatArray, IntArray, freeze, one
from .maps import MapShape

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantised:
    """Integer weights: real weight = codes * scale.

    `codes` int64 in the connectivity's own form, in -(2^(bits-1) - 1) .. 2^(bits-1) - 1; `scale` float, `()` or one per
    post neuron.
    """

    codes: IntArray
    bits: int
    scheme: str = "fixed_point"
    scale: FloatArray = field(default_factory=one)

    def __post_init__(self) -> None:
        freeze(self, ("codes",), np.int64)
        freeze(self, ("scale",), np.float64)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.codes.shape

    @property
    def synapse_bits(self) -> int:
        """The width of a code that is not 0: binary ones are a sign."""
        return 1 if self.scheme == "binary" else self.bits

    def dequantise(self) -> FloatArray:
        """The real weights of dense connectivity, float64 [pre, post]."""
        return self.codes * self.scale


Weights = FloatArray | Quantised


class Connectivity(ABC):
    """The synapses of a projection.

    `weights` is one array in the connectivity's own form, real at the float level, `Quantised` at the integer level; a
    zero in it is an absent synapse. Neurons are numbered row-major over their population's shape. Methods that take
    `values` ask about another array of that form in the place of the weights.

    Post neurons that share weights share a scale: they are a scale group, and a column of `columns` holds the weights
    into one group. A member says its `shape`, its `currents`, its `scale_groups`, its `columns` and back, and which
    inputs a group sees (`inputs_of`); what else is asked follows from these, unless it knows a shorter way.

    What is pooled by maxima is not linear in its spikes: `currents` holds for it, and whoever takes sums apart asks
    `is_linear` first.
    """

    weights: Weights
    one_per_pair: ClassVar[bool] = False
    """Whether the weights are a matrix [pre, post]: then synapses can have delays, and neurons can be taken out."""

    # -- what a member says ------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The numbers of pre and of post neurons."""

    @abstractmethod
    def currents(self, spikes: Array, values: Array | None = None) -> Array:
        """The sum over synapses of weight times input, [..., post] for `spikes` [..., pre], in the weights' dtype.

        Integer sums are in int64; with `values` the sums are in their dtype, and in any order.
        """

    @abstractmethod
    def scale_groups(self) -> IntArray:
        """The scale group of each post neuron, (post,), numbered from 0."""

    @abstractmethod
    def columns(self, values: Array) -> Array:
        """The weights into each scale group, [fan-in, groups]."""

    @abstractmethod
    def from_columns(self, columns: Array) -> Array:
        """What `columns` shows, in the connectivity's own form again."""

    @abstractmethod
    def inputs_of(self, group: int) -> IntArray:
        """The input behind each weight of a group, for each of its neurons in order; -1 where there is none.

        [neurons of the group, fan-in]; inputs are numbered as `at_weights` gives them. Where sums are pooled, it is the
        sums that stand here, in their order, in the place of neurons.
        """

    # -- what one with maps or pooling says --------------------------------------------------------------------

    @property
    def is_linear(self) -> bool:
        """Whether the currents of several spikes are the sum of the currents of each."""
        return True

    @property
    def pre_map(self) -> MapShape | None:
        """The map that it reads; None where the pre neurons have no places."""
        return None

    @property
    def post_map(self) -> MapShape | None:
        """The map that it writes; None where the post neurons have no places."""
        return None

    def problem(self) -> str | None:
        """What is wrong with its own form, or None."""
        return None

    @property
    def pools_sums(self) -> bool:
        """Whether its sums are pooled on the way to the currents."""
        return False

    def at_weights(self, spikes: Array) -> Array:
        """What the weights take of `spikes` [..., pre]: these, or what is pooled of them, [..., inputs]."""
        return spikes

    def pooled_inputs(self) -> tuple[IntArray, bool] | None:
        """Where the weights take what is pooled: the pre neurons in each window [inputs, cells], -1 for none, and
        whether their maximum is taken in the place of their sum."""
        return None

    def sum_bounds(self, values: Array | None = None) -> tuple[Array, Array]:
        """The smallest and largest of all sums that are formed in a step on the way to the currents, for inputs of 0
        to 1."""
        return self.input_bounds(values)

    # -- weights -----------------------------------------------------------------------------------------------

    @property
    def is_integer(self) -> bool:
        """Whether the weights are codes."""
        return isinstance(self.weights, Quantised)

    @property
    def quantised(self) -> Quantised:
        """The weights of an integer network."""
        assert isinstance(self.weights, Quantised)
        return self.weights

    @property
    def codes(self) -> IntArray:
        """The integer weights."""
        return self.quantised.codes

    @property
    def real(self) -> FloatArray:
        """The real weights, at either level."""
        if isinstance(self.weights, Quantised):
            scale = np.broadcast_to(self.weights.scale, self.shape[1:])
            return self.scaled(scale, self.weights.codes)
        return self.weights

    @property
    def values(self) -> Array:
        """Codes at the integer level, real weights at the float level."""
        return self.weights.codes if isinstance(self.weights, Quantised) else self.weights

    @property
    def synapses(self) -> int:
        """The weights that are not zero."""
        return int(np.count_nonzero(self.values))

    @property
    def possible_synapses(self) -> int:
        """All weights, zeros included."""
        return self.values.size

    def with_weights(self, weights: Array) -> Self:
        """The same connectivity with other real weights."""
        return replace(self, weights=weights)  # type: ignore[type-var]

    def with_codes(self, codes: Quantised) -> Self:
        """The same connectivity with integer weights."""
        return replace(self, weights=codes)  # type: ignore[type-var]

    def mirrored(self) -> Self:
        """The same synapses of as many pre neurons again, with weights of the opposite sign."""
        raise ModelError(
            f"signed inputs have weights of their own: {type(self).__name__} shares them; give two channels for each"
        )

    def scaled(self, factors: Array, values: Array) -> Array:
        """`values` times a factor per post neuron; ModelError where neurons that share weights have different ones."""
        groups = self.scale_groups()
        first = np.unique(groups, return_index=True)[1]
        if not np.array_equal(factors[first][groups], factors):
            raise ModelError("neurons that share weights share their gain and scale: these differ; make them equal")
        return self.from_columns(self.columns(values) * factors[first])

    # -- sums --------------------------------------------------------------------------------------------------

    def currents_from(self, pre: int) -> Array:
        """What a spike of one pre neuron adds to every post neuron, (post,)."""
        spikes = np.zeros(self.shape[0], self.values.dtype)
        spikes[pre] = 1
        return self.currents(spikes)

    def totals(self, values: Array) -> Array:
        """The sum of `values` into each post neuron, (post,)."""
        return self.currents(np.ones(self.shape[0], values.dtype), values)

    def input_bounds(self, values: Array | None = None) -> tuple[Array, Array]:
        """The smallest and largest sum of a step into each post neuron, (post,), for inputs of 0 to 1."""
        values = self.values if values is None else values
        return self.totals(np.minimum(values, 0)), self.totals(np.maximum(values, 0))

    def fan_in(self) -> IntArray:
        """The synapses into each post neuron, (post,)."""
        return self.totals((self.values != 0).astype(np.int64))

    def fan_out(self) -> IntArray:
        """The synapses from each pre neuron, (pre,)."""
        found = np.zeros(self.shape[0] + 1, np.int64)  # the last counts what has no pre neuron
        for group, column in enumerate(self.columns(self.values).T):
            inputs = self.inputs_of(group)
            np.add.at(found, inputs, np.broadcast_to(column != 0, inputs.shape))
        return found[:-1]

    def weights_met(self) -> IntArray:
        """The synapses that each input has as `at_weights` gives it."""
        return self.fan_out()

    def compacted(self, values: Array) -> tuple[IntArray | None, Array]:
        """The pre neurons to which sums may be limited and the values from them; None and `values` where to all."""
        return None, values

    def by_delay(self, delay: IntArray, values: Array) -> Iterator[tuple[int, Array]]:
        """`values` apart by the delay of the synapse, in steps; zeros elsewhere. A scalar delay keeps them together."""
        yield int(delay), values

    # -- the view that elimination and rounding work on --------------------------------------------------------

    def unfolded(self, group: int) -> tuple[IntArray, Array]:
        """The pre neurons that a scale group's neurons see, [neurons, fan-in] (-1: none), and its weights (fan-in,)."""
        return self.inputs_of(group), self.columns(self.values)[:, group]

    def alike(self) -> list[IntArray]:
        """The scale groups apart by what they see: those of one array have the same `inputs_of`."""
        found: dict[bytes, list[int]] = {}
        for group in range(int(self.scale_groups().max()) + 1):
            found.setdefault(self.inputs_of(group).tobytes(), []).append(group)
        return [np.array(groups, np.int64) for groups in found.values()]

    def seen(self, spikes: Array, group: int) -> Array:
        """What the weights of a group see of `spikes` [..., pre]: [..., neurons of the group, fan-in]."""
        inputs = self.inputs_of(group)
        return np.where(inputs >= 0, spikes[..., inputs], 0).astype(spikes.dtype, order="C")

    def means_seen(self, rates: FloatArray) -> Array:
        """What each weight sees on average of `rates` (pre,), as an array that broadcasts with the weights."""
        columns = np.empty_like(self.columns(self.values), dtype=np.float64)
        for group in range(columns.shape[1]):
            columns[:, group] = self.seen(rates, group).mean(axis=0)
        return self.from_columns(columns)

    def joining(self, pre: BoolArray, post: BoolArray) -> Array:
        """The weights with a synapse from a neuron that `pre` marks to one that `post` marks, in the weights' form."""
        columns = np.empty_like(self.columns(self.values), dtype=np.bool_)
        groups = self.scale_groups()
        for group in range(columns.shape[1]):
            columns[:, group] = np.any(self.seen(pre, group) & post[groups == group][:, None], axis=0)
        return self.from_columns(columns)

    # -- parts -------------------------------------------------------------------------------------------------

    def between(self, pre: BoolArray | IntArray, post: BoolArray | IntArray) -> Any:
        """The weights between some neurons, given by masks or numbers, as an index of the weights' array.

        Raises ModelError where neurons share weights, so that none of them can be taken out.
        """
        ends = zip(map(np.arange, self.shape), (pre, post), strict=True)
        if all(np.array_equal(everyone[which], everyone) for everyone, which in ends):
            return ...
        raise ModelError("neurons that share weights stay together: none of them can be removed; keep them all")


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense(Connectivity):
    """All-to-all connectivity: `weights` [pre, post]. Every post neuron is a scale group of its own."""

    weights: Weights
    one_per_pair: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.weights, Quantised):
            freeze(self, ("weights",), np.float64)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.weights.shape

    def currents(self, spikes: Array, values: Array | None = None) -> Array:
        values = self.values if values is None else values
        return spikes.astype(values.dtype, copy=False) @ values

    def scale_groups(self) -> IntArray:
        return np.arange(self.shape[1])

    def columns(self, values: Array) -> Array:
        return values

    def from_columns(self, columns: Array) -> Array:
        return columns

    def inputs_of(self, group: int) -> IntArray:
        return np.arange(self.shape[0])[None]

    def mirrored(self) -> Dense:
        return self.with_weights(np.concatenate([self.real, -self.real]))

    def scaled(self, factors: Array, values: Array) -> Array:
        return values * factors

    def currents_from(self, pre: int) -> Array:
        return self.values[pre]

    def totals(self, values: Array) -> Array:
        return values.sum(axis=0)

    def fan_out(self) -> IntArray:
        return np.count_nonzero(self.values, axis=1)

    def compacted(self, values: Array) -> tuple[IntArray | None, Array]:
        used = np.flatnonzero(values.any(axis=1))
        return (used, values[used]) if 2 * len(used) < len(values) else (None, values)

    def by_delay(self, delay: IntArray, values: Array) -> Iterator[tuple[int, Array]]:
        if not delay.ndim:
            yield int(delay), values
            return
        for steps in np.unique(delay):
            yield int(steps), np.where(delay == steps, values, 0)

    def alike(self) -> list[IntArray]:
        return [self.scale_groups()]

    def seen(self, spikes: Array, group: int) -> Array:
        return spikes[..., None, :]

    def means_seen(self, rates: FloatArray) -> Array:
        return rates[:, None]

    def joining(self, pre: BoolArray, post: BoolArray) -> Array:
        return pre[:, None] & post

    def between(self, pre: BoolArray | IntArray, post: BoolArray | IntArray) -> Any:
        return np.ix_(pre, post)
