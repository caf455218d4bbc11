"""Accuracy of a network before and after compression on the same samples, with 95 % confidence intervals.

An accuracy has Wilson's score interval (1927). The difference of two accuracies on the same samples depends only on
those samples of which one network is right and the other wrong; its interval is that of Agresti and Min (Statistics in
Medicine 24, 2005), which adds half a sample to each of the four cases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..compiler.data.samples import Samples
from ..compiler.ir.network import Network
from ..compiler.ir.origin import Judged
from ..hdl.errors import SampleError
from .float_executor import run_float
from .reference import run_reference

Z = 1.959963984540054
"""The normal quantile of a two-sided 95 % interval."""

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Accuracies as shares of `samples`, each with its interval; `change` is compressed less original.

    `stimulus` says which samples (`origin.STIMULI`), `readout` how classes are read (`Readout`).
    """

    samples: int
    stimulus: str
    readout: str
    original: float
    original_interval: Interval
    compressed: float
    compressed_interval: Interval
    change: float
    change_interval: Interval

    @property
    def judged(self) -> tuple[Judged, Judged]:
        """The original and the compressed network's accuracy, as a network keeps them."""
        original, compressed = (
            Judged(share=share, samples=self.samples, stimulus=self.stimulus, readout=self.readout)
            for share in (self.original, self.compressed)
        )
        return original, compressed


def unseen(samples: Samples, seen: Sequence[Samples]) -> Samples:
    """The labelled samples that are not among those `seen`, so that accuracy on them says something.

    Raises SampleError where there are no labels, or no samples left.
    """
    if samples.labels is None:
        raise SampleError("accuracy needs labels: the test samples have none; add 'labels' [samples] to the file")
    known = {sample.tobytes() for part in seen if part.steps == samples.steps for sample in part.spikes}
    new = np.array([sample.tobytes() not in known for sample in samples.spikes], np.bool_)
    if not new.any():
        raise SampleError(
            f"test samples are others than those of compression: all {len(samples)} are among them; give new ones"
        )
    return Samples(spikes=samples.spikes[new], labels=samples.labels[new])


def compare(original: Network, compressed: Network, samples: Samples, stimulus: str = "test") -> Comparison:
    """Run both networks, each on the executor of its level, on labelled samples. Raises SampleError without labels."""
    return Original(original, samples, stimulus).beside(compressed)


class Original:
    """A network that ran on labelled samples, beside which others are judged. Raises SampleError without labels."""

    def __init__(self, network: Network, samples: Samples, stimulus: str = "test") -> None:
        unseen(samples, ())
        self._samples, self._stimulus = samples, stimulus
        self._readout = str(network.reading)
        self._right = _answered_right(network, samples)

    def beside(self, compressed: Network) -> Comparison:
        """Its accuracy and that of a network made of it."""
        before, after = self._right, _answered_right(compressed, self._samples)
        lost, won = int(np.sum(before & ~after)), int(np.sum(~before & after))
        original, right, total = int(np.sum(before)), int(np.sum(after)), len(self._samples)
        return Comparison(
            samples=total,
            stimulus=self._stimulus,
            readout=self._readout,
            original=original / total,
            original_interval=wilson(original, total),
            compressed=right / total,
            compressed_interval=wilson(right, total),
            change=(won - lost) / total,
            change_interval=paired(won, lost, total),
        )


def likeness(wanted: npt.NDArray[Any], found: npt.NDArray[Any]) -> float:
    """How alike two arrays of counts are: what they share over the larger of each (Ruzicka), 1 where they are equal."""
    total = int(np.maximum(wanted, found).sum())
    return float(np.minimum(wanted, found).sum() / total) if total else 1.0


def wilson(right: int, total: int) -> Interval:
    """The interval of a share of `right` in `total`."""
    share, weight = right / total, Z * Z / total
    middle = (share + weight / 2) / (1 + weight)
    reach = Z / (1 + weight) * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def paired(won: int, lost: int, total: int) -> Interval:
    """The interval of the change of a share: of `total` samples `won` became right and `lost` became wrong."""
    b, c, n = won + 0.5, lost + 0.5, total + 2
    middle, reach = (b - c) / n, Z / n * math.sqrt(b + c - (b - c) ** 2 / n)
    return max(-1.0, middle - reach), min(1.0, middle + reach)


def _answered_right(network: Network, samples: Samples) -> npt.NDArray[np.bool_]:
    run = run_reference if network.is_integer else run_float
    right: npt.NDArray[np.bool_] = run(network, samples.spikes).predicted == samples.labels
    return right
