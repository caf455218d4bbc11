"""A table of compressions of one network: each method at each sparsity and width, judged and estimated."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from ...boards.boards import device_of
from ...boards.clock import fastest_hz
from ...hdl.errors import SampleError
from ...sim import numbering
from ...sim.evaluation import Comparison, Original, unseen
from ...sim.reference import run_reference
from ..data.samples import Samples
from ..estimate.estimate import estimate, microseconds
from ..ir.network import Network
from ..plan.lean import lean_for
from ..report.neurobench import NeuroBench, neurobench
from .compile import integers_of
from .folding import link_beside, link_on, plan_for
from .measure import mean_rates
from .options import CompileOptions, require_target

ESTIMATE_SAMPLES = 100
"""Samples whose activity the cycles are estimated for."""


@dataclass(frozen=True, kw_only=True)
class SweepPoint:
    """One compression: what it was asked for, how it is judged, and what the design should cost, whose clock can be
    `most_mhz` at most.

    `stored_bits` are those of the codes that are not 0, `metrics` NeuroBench's. Accuracies are those of
    `sim.evaluation.Comparison`, on samples that compression has not seen.
    """

    method: str
    sparsity: float
    bits: int
    judged: Comparison
    synapses: int
    stored_bits: int
    metrics: NeuroBench
    lcs: int
    brams: int
    fmax_mhz: float
    most_mhz: float
    cycles: float

    def data(self) -> dict[str, Any]:
        """As JSON data, and as the columns of a CSV file."""
        low, high = self.judged.compressed_interval
        change_low, change_high = self.judged.change_interval
        return {
            "method": self.method,
            "sparsity": self.sparsity,
            "bits": self.bits,
            "accuracy": round(self.judged.compressed, 6),
            "accuracy_low": round(low, 6),
            "accuracy_high": round(high, 6),
            "change": round(self.judged.change, 6),
            "change_low": round(change_low, 6),
            "change_high": round(change_high, 6),
            "synapses": self.synapses,
            "stored_bits": self.stored_bits,
            "footprint_bytes": round(self.metrics.footprint_bytes, 3),
            "connection_sparsity": round(self.metrics.connection_sparsity, 6),
            "activation_sparsity": round(self.metrics.activation_sparsity, 6),
            "synaptic_operations": round(self.metrics.synaptic_operations, 2),
            "lcs_estimated": self.lcs,
            "brams": self.brams,
            "fmax_mhz_estimated": round(self.fmax_mhz, 2),
            "cycles_per_sample_estimated": round(self.cycles, 2),
            "microseconds_per_sample_estimated": round(microseconds(self.cycles, self.fmax_mhz, self.most_mhz), 3),
        }


def sweep(
    source: Network,
    methods: Sequence[str],
    sparsities: Sequence[float],
    bits: Sequence[int],
    calibration: Samples,
    test: Samples,
    options: CompileOptions,
) -> Iterator[SweepPoint]:
    """The points one by one, methods in turn for each width and sparsity; `options` say the target and the folding.

    Test samples that are among the calibration's are left out. Raises SampleError where none stay or labels are
    missing, and what compression and planning raise.
    """
    if test.labels is None:
        raise SampleError("a sweep compares accuracies: the test samples have no labels; add 'labels' to the file")
    judged_on = unseen(test, [calibration])
    original = Original(source, judged_on)
    for width, sparsity, method in product(bits, sparsities, methods):
        wanted = replace(options, method=method, sparsity=sparsity, bits=width)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # neurons that fall silent are what a sweep is about
            integer = integers_of(source, wanted, calibration).network
        yield point_of(integer, wanted, original.beside(integer), judged_on)


def point_of(integer: Network, options: CompileOptions, judged: Comparison, samples: Samples) -> SweepPoint:
    """The figures of a network that the options' method, sparsity and bits made, its activity that on the samples."""
    assert options.method is not None and options.sparsity is not None and options.bits is not None
    lean = lean_for(integer, options.folding)
    target = require_target(options)
    link = link_on(target, lean.network, options)
    plan = plan_for(lean.network, target, options, link)
    link = link_beside(plan, target, link)
    ran = samples.first(ESTIMATE_SAMPLES)
    recording = run_reference(integer, ran.spikes)
    figures = estimate(
        plan,
        device=None if target is None else device_of(target).id,
        link=None if target is None else link,
        rates=mean_rates(ran, numbering.of_core(lean, recording)),
        steps=ran.steps,
    )
    return SweepPoint(
        method=options.method,
        sparsity=options.sparsity,
        bits=options.bits,
        judged=judged,
        synapses=sum(projection.connectivity.synapses for projection in integer.projections),
        stored_bits=sum(p.connectivity.synapses * p.connectivity.quantised.synapse_bits for p in integer.projections),
        metrics=neurobench(integer, recording.trains(ran.spikes)),
        lcs=figures.resources.lcs,
        brams=figures.resources.brams,
        fmax_mhz=figures.fmax_mhz,
        most_mhz=math.inf if target is None else fastest_hz(target) / 1e6,
        cycles=figures.cycles or 0.0,
    )
