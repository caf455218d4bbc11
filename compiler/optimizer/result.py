"""What a search ends with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.resources import Resources
from ...sim.evaluation import Comparison
from ..ir.network import Network
from ..plan.folding import Folding
from .candidate import Candidate
from .front_plot import front_svg
from .subject import DEFAULT_NEURONS
from .target import Target
from .verification import Measurement

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A candidate that was put to the tools, and what they said."""

    candidate: Candidate
    measured: Measurement


@dataclass(frozen=True, eq=False, kw_only=True)
class FitResult:
    """The best candidate that the tools verified, and what else was found.

    `network` is the compressed form of `original` in integers and `folding` the engines that run it: together what
    `spikeloom compile` builds. `accuracy` compares it with the original on the test samples, which neither compression
    nor the search has seen; None without labelled data. `quality` in candidates is `measure` on the validation samples.
    `calibration` are the spikes that compression saw.
    """

    target: Target
    selected: Candidate
    measured: Measurement
    accuracy: Comparison | None
    original: Network
    network: Network
    folding: Folding
    front: tuple[Candidate, ...]
    candidates: tuple[Candidate, ...]
    verified: tuple[Trial, ...]
    measure: str
    floor: float | None
    default_neurons: bool
    calibration: npt.NDArray[np.uint8] | None

    @property
    def fits(self) -> bool:
        """Always: what does not fit is an error."""
        return self.measured.fits

    def summary(self) -> str:
        """A few lines: the target, what was selected, what it costs, what it keeps of the accuracy."""
        lines = [f"Target: {self.target.description}", f"Selected: {self.selected.label}"]
        if self.default_neurons:
            lines.append(f"Neurons: {DEFAULT_NEURONS}")
        lines.append(f"Estimated: {_estimated(self.selected)}")
        lines.append(f"Measured: {_measured(self.measured)} - FITS")
        if self.accuracy is not None:
            low, high = self.accuracy.change_interval
            lines.append(
                f"Accuracy impact: {100 * self.accuracy.change:+.1f} points ({self.accuracy.samples:,} test samples, "
                f"95% CI +-{100 * (high - low) / 2:.1f})"
            )
            lines += self._floor_lines(self.accuracy)
        elif self.measure == "agreement":
            judged = self.selected.outcome.judged
            lines.append(f"Agreement: {self.selected.quality:.1%} of {judged:,} samples get the original's class")
        elif self.measure == "spike counts":
            judged = self.selected.outcome.judged
            lines.append(
                f"Spike counts: {self.selected.quality:.1%} of the original's output spikes agree ({judged:,} samples; "
                "its classes do not tell them apart)"
            )
        return "\n".join(lines)

    def _floor_lines(self, accuracy: Comparison) -> list[str]:
        if self.floor is None:
            return []
        low, high = accuracy.compressed_interval
        found = f"{accuracy.compressed:.1%} on the test samples (95% CI {low:.1%} to {high:.1%})"
        met = "met" if accuracy.compressed >= self.floor else "NOT MET"
        return [
            f"Accuracy floor {self.floor:.1%}: {met}, {found}, {self.selected.quality:.1%} on the validation samples"
        ]

    def data(self) -> dict[str, Any]:
        """The result as JSON holds it."""
        return {
            "schema": SCHEMA,
            "target": {
                "id": self.target.id,
                "title": self.target.title,
                "capacity": asdict(self.target.capacity),
            },
            "measure": self.measure,
            "readout": str(self.original.reading),
            "accuracy_floor": self.floor,
            "selected": self.selected.data(),
            "measured": self.measured.data(),
            "accuracy": None if self.accuracy is None else asdict(self.accuracy),
            "front": [candidate.data() for candidate in self.front],
            "candidates": [candidate.data() for candidate in self.candidates],
            "verified": [trial.candidate.data() | {"measured": trial.measured.data()} for trial in self.verified],
        }

    def svg(self) -> str:
        """The Pareto front as a picture."""
        return front_svg(self.target.description, self.measure, self.candidates, self.front, self.selected)


def _measured(measured: Measurement) -> str:
    assert measured.resources is not None
    if measured.fmax_mhz is None:
        return f"{amounts(measured.resources)}, {measured.resources.ffs} FFs ({measured.tools})"
    return f"{amounts(measured.resources)}, {measured.fmax_mhz:.0f} MHz"


def _estimated(candidate: Candidate) -> str:
    parts = [amounts(candidate.prediction.resources)]
    if candidate.prediction.fmax_mhz is not None:
        parts.append(f"{candidate.prediction.fmax_mhz:.0f} MHz")
    if candidate.prediction.cycles is not None:
        parts.append(f"{candidate.prediction.cycles:,.0f} cycles per sample")
    return ", ".join(parts)


def amounts(resources: Resources) -> str:
    """What is used, in the words of a summary."""
    parts = [f"{resources.luts} LUTs"] if resources.luts else []
    parts.append(f"{resources.brams} BRAMs")
    parts += [f"{resources.spram} SPRAMs"] if resources.spram else []
    parts += [f"{resources.dsps} DSPs"] if resources.dsps else []
    return ", ".join(parts)
