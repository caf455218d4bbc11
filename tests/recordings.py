"""The first difference of two recordings."""

from __future__ import annotations

from spikeloom.sim.divergence import MEMBRANE, SPIKE, Comparison, Divergence, first_divergence
from spikeloom.sim.recording import Recording


def compare_recordings(expected: Recording, got: Recording) -> Divergence | None:
    """The first divergence of two recordings' spikes and, where both have them, membranes."""
    comparisons = []
    for index, (name, wanted) in enumerate(expected.populations.items()):
        recorded = got.populations[name]
        comparisons.append(Comparison(population=index, quantity=SPIKE, expected=wanted.spikes, got=recorded.spikes))
        if wanted.membranes is not None and recorded.membranes is not None:
            comparisons.append(
                Comparison(population=index, quantity=MEMBRANE, expected=wanted.membranes, got=recorded.membranes)
            )
    return first_divergence(comparisons)
