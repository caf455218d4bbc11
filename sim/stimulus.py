"""The input tokens of samples, as every hardware executor sends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..compiler.encodings.vector import pack_beats
from ..compiler.ir.arrays import SpikeArray
from ..hdl.errors import SampleError
from ..hdl.streams.tokens import BeatShape, TokenKind

KIND_BITS = 2
"""The address of a token's payload lies above this many bits of kind."""

_GAP_CHANCE = 0.2
_LONGEST_GAP = 12


@dataclass(frozen=True, eq=False, kw_only=True)
class Stimulus:
    """Tokens in the order in which they are sent; all arrays are int64 [tokens], `payloads` of objects where they are
    beats, which may be wider.

    `payloads` are the stream's payloads, `gaps` the idle clock cycles before each, `samples` and `steps` the place that
    each belongs to.
    """

    payloads: npt.NDArray[Any]
    gaps: npt.NDArray[np.int64]
    samples: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]


def make_stimulus(
    spikes: SpikeArray, *, stress: int | None = None, abort: int | None = None, beats: BeatShape | None = None
) -> Stimulus:
    """The tokens of `spikes`, uint8 [samples, steps, inputs], back to back, or where the input is wide its `beats`.

    A value above 1 is that many events. `stress` is a seed: the events of a step then come in random order and
    random gaps stand before some tokens, and beats are filled by chance, else as far as they can be. With `abort`,
    the first half of that sample is sent and aborted before the sample. Raises SampleError without samples or
    steps, which a stream of tokens cannot say.
    """
    if 0 in spikes.shape[:2]:
        raise SampleError(f"hardware runs at least one sample of one step: got {list(spikes.shape)}")
    rng = None if stress is None else np.random.default_rng(stress)
    parts = []
    for sample, steps in enumerate(spikes):
        if sample == abort:
            half = steps[: (len(steps) + 1) // 2]
            parts.append(_sample_tokens(half, sample, TokenKind.ABORT, rng, beats))
        parts.append(_sample_tokens(steps, sample, TokenKind.END_OF_SAMPLE, rng, beats))
    payloads, samples, places = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Stimulus(payloads=payloads, gaps=_gaps(len(payloads), rng), samples=samples, steps=places)


def _sample_tokens(
    steps: SpikeArray, sample: int, last: Any, rng: np.random.Generator | None, beats: BeatShape | None
) -> tuple[npt.NDArray[np.int64], ...]:
    """(payloads, samples, steps) of one sample, whose last step ends with the token `last`."""
    payloads, places = [], []
    for step, counts in enumerate(steps):
        addresses = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        if rng is not None:
            rng.shuffle(addresses)
        end = last if step == len(steps) - 1 else TokenKind.END_OF_STEP
        events = addresses << KIND_BITS | _code(TokenKind.EVENT) if beats is None else _beats(beats, addresses, rng)
        payloads.append(np.append(events, _code(end)))
        places.append(np.full(len(events) + 1, step, np.int64))
    tokens = np.concatenate(payloads)
    return tokens, np.full(len(tokens), sample, np.int64), np.concatenate(places)


def _beats(shape: BeatShape, addresses: npt.NDArray[np.int64], rng: np.random.Generator | None) -> npt.NDArray[Any]:
    """The payloads of a step's events: in the fewest beats, or with `rng` in parts of random length."""
    parts: list[npt.NDArray[np.int64]] = [addresses]
    if rng is not None:
        parts = np.split(addresses, np.flatnonzero(rng.random(len(addresses)) < 1 / shape.slots))
    return np.array([payload for part in parts for payload in pack_beats(shape, part.tolist())], dtype=object)


def _code(kind: Any) -> int:
    return int(kind.value)


def _gaps(count: int, rng: np.random.Generator | None) -> npt.NDArray[np.int64]:
    if rng is None:
        return np.zeros(count, np.int64)
    return np.where(rng.random(count) < _GAP_CHANCE, rng.integers(1, _LONGEST_GAP + 1, count), 0)
