"""The input tokens of samples, as every hardware executor sends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..compiler.ir import Network
from ..hdl.errors import SampleError
from ..hdl.tokens import TokenKind
from .recording import SpikeArray

KIND_BITS = 2
"""The address of a token's payload lies above this many bits of kind."""

_GAP_CHANCE = 0.2
_LONGEST_GAP = 12


@dataclass(frozen=True, eq=False, kw_only=True)
class Stimulus:
    """Tokens in the order in which they are sent; all arrays are int64 [tokens].

    `payloads` are the stream's payloads, `gaps` the idle clock cycles before each, `samples` and `steps` the place that
    each belongs to.
    """

    payloads: npt.NDArray[np.int64]
    gaps: npt.NDArray[np.int64]
    samples: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]


def checked_spikes(network: Network, spikes: npt.NDArray[Any]) -> SpikeArray:
    """`spikes` as uint8 [samples, steps, inputs], given in that shape or with the inputs in the network's input shape.

    Raises SampleError for another shape, no samples, no steps, values that are not integers, or values out of range.
    """
    array = np.asarray(spikes)
    if array.ndim < 2 or array.shape[2:] not in ((network.input_size,), network.input_shape):
        wanted = f"[samples, steps, {network.input_size} inputs]"
        raise SampleError(f"samples have the shape {wanted}: got {list(array.shape)}")
    if array.dtype.kind not in "iub":
        raise SampleError(f"samples hold integers: got {array.dtype}; convert them to uint8")
    if 0 in array.shape[:2]:
        raise SampleError(f"at least one sample of one step is needed: got {list(array.shape)}")
    if array.min() < 0 or array.max() > network.x_max:
        found = f"{array.min()} to {array.max()}"
        raise SampleError(f"samples hold 0 to {network.x_max} spikes per input and step: got {found}")
    return array.reshape(*array.shape[:2], network.input_size).astype(np.uint8, copy=False)


def make_stimulus(spikes: SpikeArray, *, stress: int | None = None, abort: int | None = None) -> Stimulus:
    """The tokens of `spikes`, uint8 [samples, steps, inputs], back to back.

    A value above 1 is that many events. `stress` is a seed: the events of a step then come in random order and random
    gaps stand before some tokens. With `abort`, the first half of that sample is sent and aborted before the sample.
    """
    rng = None if stress is None else np.random.default_rng(stress)
    parts = []
    for sample, steps in enumerate(spikes):
        if sample == abort:
            half = steps[: (len(steps) + 1) // 2]
            parts.append(_sample_tokens(half, sample, TokenKind.ABORT, rng))
        parts.append(_sample_tokens(steps, sample, TokenKind.END_OF_SAMPLE, rng))
    payloads, samples, places = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Stimulus(payloads=payloads, gaps=_gaps(len(payloads), rng), samples=samples, steps=places)


def _sample_tokens(
    steps: SpikeArray, sample: int, last: TokenKind, rng: np.random.Generator | None
) -> tuple[npt.NDArray[np.int64], ...]:
    """(payloads, samples, steps) of one sample, whose last step ends with the token `last`."""
    payloads, places = [], []
    for step, counts in enumerate(steps):
        addresses = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        if rng is not None:
            rng.shuffle(addresses)
        end = last if step == len(steps) - 1 else TokenKind.END_OF_STEP
        payloads.append(np.append(addresses << KIND_BITS | TokenKind.EVENT.value, end.value))
        places.append(np.full(len(addresses) + 1, step, np.int64))
    tokens = np.concatenate(payloads)
    return tokens, np.full(len(tokens), sample, np.int64), np.concatenate(places)


def _gaps(count: int, rng: np.random.Generator | None) -> npt.NDArray[np.int64]:
    if rng is None:
        return np.zeros(count, np.int64)
    return np.where(rng.random(count) < _GAP_CHANCE, rng.integers(1, _LONGEST_GAP + 1, count), 0)
