"""How populations lie in the words of a wide engine, and by which numbers its taps know them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...hdl.engines.tap_format import Places
from ...hdl.engines.wide_format import WordLayout
from ...hdl.errors import ModelError, quoted
from ..ir.arrays import IntArray
from ..ir.maps import MapShape
from ..ir.network import Network
from .maps import written_map


@dataclass(frozen=True, eq=False, kw_only=True)
class WordPopulation:
    """A population in words of `lanes` neurons: of its map `shape`, or of a row of neurons where kernels write none.

    As taps know it, columns are filled up to a power of two.
    """

    name: str
    shape: MapShape
    is_map: bool
    layout: WordLayout
    lanes: int

    @property
    def channels_of_words(self) -> IntArray:
        """The channel of every lane of every word [words, lanes]; beyond the last where there is no neuron."""
        in_place = np.arange(self.layout.stride * self.lanes).reshape(self.layout.stride, self.lanes)
        return np.tile(in_place, (self.layout.places, 1))

    @property
    def neurons(self) -> IntArray:
        """The neuron of every lane of every word, -1 where there is none."""
        channels = self.channels_of_words
        places = np.repeat(np.arange(self.layout.places), self.layout.stride)[:, None]
        return np.where(channels < self.layout.channels, channels * self.layout.places + places, -1)

    def spread(self, values: IntArray, otherwise: int = 0) -> IntArray:
        """Values [..., neuron] as they lie in words [..., word * lanes + lane]."""
        neurons = self.neurons.ravel()
        return np.where(neurons >= 0, values[..., np.maximum(neurons, 0)], otherwise)

    @property
    def outside(self) -> IntArray:
        """By which number the first neuron of each word is known outside, the others `channels_apart` from it."""
        channels = self.channels_of_words[:, 0]
        places = np.repeat(np.arange(self.layout.places), self.layout.stride)
        apart = self.layout.channels_apart
        return channels * apart + places * (1 if apart > 1 else self.layout.channels)

    # -- as taps know it ---------------------------------------------------------------------------------------

    @property
    def _filled_columns(self) -> int:
        return power_of_two(self.shape[2])

    @property
    def names(self) -> IntArray:
        """The number of each word as taps know it, from the population's first."""
        _, rows, columns = self.shape
        if not self.is_map:
            return np.arange(self.layout.words)
        places = (np.arange(rows)[:, None] * self._filled_columns + np.arange(columns)).ravel()
        return (places[:, None] * self.layout.stride + np.arange(self.layout.stride)).ravel()

    @property
    def name_count(self) -> int:
        """How many such numbers there are."""
        return int(self.names[-1]) + 1

    def places(self, read: MapShape) -> Places:
        """How a spike's number, from the population's first, says its place in the map that is `read`."""
        if self.is_map and read == self.shape:
            inner = power_of_two(self.layout.stride) * self.lanes
            return Places(inner=inner, outer=self._filled_columns, planar=False)
        found = Places(inner=read[2], outer=read[1], planar=True)
        if self.is_map or not found.has_fields:
            raise ModelError(
                f"a wide engine reads a population of its own as the map that kernels write, or where none do as one "
                f"with powers of two of rows and columns: {quoted(self.name)} is read as {read}; give it an engine "
                "of its own"
            )
        return found


def word_population(network: Network, name: str, lanes: int) -> WordPopulation:
    """How a population lies in words."""
    written, size = written_map(network, name), network.size_of(name)
    shape = (size, 1, 1) if written is None else written
    channels, rows, columns = shape
    words = -(-channels // lanes)
    places = rows * columns
    layout = WordLayout(
        channels=channels,
        places=places,
        stride=words if places == 1 else power_of_two(words),
        channels_apart=places if name == network.output else 1,
    )
    return WordPopulation(name=name, shape=shape, is_map=written is not None, layout=layout, lanes=lanes)


def filled_numbers(read: MapShape, neurons: IntArray) -> tuple[IntArray, int, Places]:
    """The numbers of some neurons of a map whose rows and columns are filled up to powers of two, how many there are,
    and how they say a place."""
    channels, rows, columns = read
    wide, high = power_of_two(columns), power_of_two(rows)
    channel, place = np.divmod(neurons, rows * columns)
    row, column = np.divmod(place, columns)
    numbers = (channel * high + row) * wide + column
    return numbers, channels * high * wide, Places(inner=wide, outer=high, planar=True)


def power_of_two(value: int) -> int:
    """The next from a value on."""
    return 1 << (value - 1).bit_length()
