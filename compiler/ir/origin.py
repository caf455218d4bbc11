"""Where a compressed network comes from: what was done to it, and what that cost by the one who did it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

STIMULI = ("calibration", "test")
"""Samples that compression saw, and samples that it did not."""

MAX_STEPS = 16
MAX_TEXT = 200
MAX_BITS = 16
ERRORS = ("weights", "threshold", "bias", "leak", "leak_syn", "leak_a")
"""The relative errors of a population, in the order in which `Origin.errors` has them."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The share of `samples` labelled samples whose class was right by `readout`; `stimulus` says which they were."""

    share: float
    samples: int
    stimulus: str
    readout: str


@dataclass(frozen=True, kw_only=True)
class LayerCompression:
    """What differed for the weights into one population; None as for the others."""

    population: str
    sparsity: float | None = None
    bits: int | None = None
    scheme: str | None = None


@dataclass(frozen=True, kw_only=True)
class Compression:
    """One compression as it was asked for; `bits` is None for float weights."""

    method: str
    sparsity: float
    bits: int | None = None
    scheme: str = "fixed_point"
    layers: tuple[LayerCompression, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The compressions, the oldest first, between the `original` network and the `compressed` one, and their cost.

    An accuracy is None where there were no labels. `errors` has how far the integers of each population are from the
    float network before the last compression (`ERRORS`), nothing for a float network.
    """

    steps: tuple[Compression, ...]
    original: Judged | None = None
    compressed: Judged | None = None
    errors: tuple[tuple[float, ...], ...] = ()

    def with_accuracies(self, original: Judged, compressed: Judged) -> Origin:
        """With what the last compression's network had before and has now: the first one's was the original."""
        return replace(self, original=original if len(self.steps) == 1 else self.original, compressed=compressed)

    def problem(self, populations: int) -> str | None:
        """What no compression of so many populations leaves: the rule and what breaks it, or None."""
        return next(self._problems(populations), None)

    def _problems(self, populations: int) -> Iterator[str]:
        """Values may come from a hostile file."""
        if not 1 <= len(self.steps) <= MAX_STEPS:
            yield f"a compressed network went through 1 to {MAX_STEPS} compressions: got {len(self.steps)}"
        for step in self.steps:
            if len(step.layers) > populations:
                yield f"a population's compression differs once: got {len(step.layers)} of {populations} populations"
            yield from _text_problems(step.method, step.scheme)
            yield from _part_problems(step)
            for layer in step.layers:
                yield from _part_problems(layer)
        for judged in (self.original, self.compressed):
            if judged is not None:
                yield from _judged_problems(judged)
        if len(self.errors) not in (0, populations) or any(len(row) != len(ERRORS) for row in self.errors):
            yield f"errors of a compression are {len(ERRORS)} for each population: got another number"
        elif not all(math.isfinite(error) and error >= 0 for row in self.errors for error in row):
            yield "errors of a compression are finite and not below 0: one is not"


def _text_problems(*texts: str) -> Iterator[str]:
    for text in texts:
        if not 0 < len(text) <= MAX_TEXT or not text.isprintable():
            yield f"a compression's texts are lines of 1 to {MAX_TEXT} characters: got {text!a:.60}"


def _part_problems(part: Compression | LayerCompression) -> Iterator[str]:
    if part.sparsity is not None and not 0 <= part.sparsity <= 1:
        yield f"a sparsity is a share: got {part.sparsity}"
    if part.bits is not None and not 1 <= part.bits <= MAX_BITS:
        yield f"compressed weights have 1 to {MAX_BITS} bits: got {part.bits}"
    if isinstance(part, LayerCompression):
        yield from _text_problems(part.population, *([] if part.scheme is None else [part.scheme]))


def _judged_problems(judged: Judged) -> Iterator[str]:
    yield from _text_problems(judged.stimulus, judged.readout)
    if not 0 <= judged.share <= 1 or not 1 <= judged.samples < 1 << 53 or judged.stimulus not in STIMULI:
        yield (
            f"an accuracy is a share of {' or '.join(STIMULI)} samples: got {judged.share} of {judged.samples} "
            f"{judged.stimulus!a:.60}"
        )
