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
from .recording import Recording
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
    labels = unseen(samples, ()).labels
    right = [_recording(network, samples.spikes).predicted == labels for network in (original, compressed)]
    lost, won = int(np.sum(right[0] & ~right[1])), int(np.sum(~right[0] & right[1]))
    counts = [int(np.sum(r)) for r in right]
    total = len(samples)
    return Comparison(
        samples=total,
        stimulus=stimulus,
        readout=str(original.reading),
        original=counts[0] / total,
        original_interval=wilson(counts[0], total),
        compressed=counts[1] / total,
        compressed_interval=wilson(counts[1], total),
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


def _recording(network: Network, spikes: npt.NDArray[np.uint8]) -> Recording:
    return run_reference(network, spikes) if network.is_integer else run_float(network, spikes)
