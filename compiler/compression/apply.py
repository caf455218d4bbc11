"""One call for all compression: `compress` applies a `Recipe` to a network and reports what it did."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import OptionError, SampleError, installing, quoted
from ..ir.arrays import SpikeArray, SpikesByPopulation
from ..ir.network import INPUT, Network
from ..lowering.error import quantisation_error
from ..names import CALIBRATED, KEEP
from ..neurons.observe import observed
from .baseline import by_magnitude
from .finetune import FineTune
from .firing import Firing
from .job import Job
from .kept import formats_of, kept
from .leaks import share_leaks
from .loss import membrane_losses
from .magnitude import silenced, warn_of_silenced
from .meter import Progress
from .pruning import prune_neurons
from .recipe import Recipe
from .report import CompressionReport, projection_reports, zeros_of


def compress(
    network: Network,
    recipe: Recipe,
    calibration: npt.NDArray[Any] | None = None,
    *,
    finetune: FineTune | None = None,
    progress: Progress | None = None,
    refine: Callable[[Network], Network] | None = None,
) -> tuple[Network, CompressionReport]:
    """Compress a float network by a recipe; returns the network, integer where the recipe has bits, and a report.

    `calibration` are input samples, integers [samples, steps, inputs...]; every method but magnitude needs them.
    `refine` is a last pass over an integer network, which the report then tells of: what a target asks of its neurons.
    With `finetune` the remaining weights are trained further, the zeros held. Weights that are zero stay zero, so that
    compressing again keeps what was gained. Warns of layers and neurons that fall silent.

    Raises ModelError for an integer network, OptionError for a recipe that changes nothing or does not suit the
    network, SampleError for samples that are missing, do not suit the network or hold no spike.
    """
    started = time.monotonic()
    job = Job.of(network, recipe)
    _check(recipe, calibration)
    sources = None if calibration is None else _observed(network, calibration)
    silent = () if sources is None else _silent(network, sources)
    whole = network
    if calibration is not None and sources is not None and recipe.activity_threshold > 0:
        rates = [spikes.mean(axis=(0, 1), dtype=np.float64) for spikes in sources.values()]
        network, _ = prune_neurons(network, recipe.activity_threshold, spike_rates=rates)
        sources = _observed(network, calibration)
    _warn_of_zeros(network, recipe)
    shared = share_leaks(network) if recipe.shared_leaks else network
    compressed = _compressed(replace(job, network=shared), calibration, finetune, progress)
    if refine is not None and compressed.is_integer:
        compressed = refine(compressed)
    warn_of_silenced(network, compressed)
    return compressed, CompressionReport(
        recipe=recipe,
        projections=projection_reports(
            whole, compressed, formats_of(compressed) if recipe.method == KEEP else job.formats or {}
        ),
        errors=quantisation_error(_like(network, compressed), compressed) if compressed.is_integer else (),
        removed={p.name: whole.size_of(p.name) - p.size for p in network.populations if p.size < whole.size_of(p.name)},
        silenced=silenced(network, compressed),
        silent=silent,
        firing=None if calibration is None else Firing(before=network, after=compressed, samples=calibration),
        losses={} if sources is None else membrane_losses(network, compressed, sources),
        seconds=time.monotonic() - started,
    )


# ------------------------------------------------------------------------------------------------------- checks


def _check(recipe: Recipe, calibration: npt.NDArray[Any] | None) -> None:
    if recipe.changes_nothing:
        raise OptionError("compression has a target, sparsity, bits or a structure: none is given; set one")
    if calibration is None and recipe.method in CALIBRATED:
        raise SampleError(
            f"{recipe.method} compression needs calibration samples: none are given; magnitude needs none"
        )
    if calibration is None and recipe.activity_threshold > 0:
        raise SampleError("quiet neurons are found on calibration samples: none are given; give some")


def _check_torch(recipe: Recipe) -> None:
    """OptionError where torch or its device is missing."""
    if find_spec("torch") is None:
        what, instead = f"{recipe.method} compression", "choose the method magnitude"
        if recipe.method not in CALIBRATED:  # magnitude needs torch where the weights are trained after it
            what, instead = "fine-tuning", "leave the fine-tuning out"
        raise OptionError(f"{what} computes with torch, which is not installed: {installing('torch')}, or {instead}")
    import torch

    try:
        torch.empty(1, device=recipe.device)
    except (RuntimeError, AssertionError, TypeError) as error:  # torch's words for a device that is unknown or absent
        reason = str(error).splitlines()[0][:100]
        raise OptionError(
            f"a torch device is one that torch can use here: {quoted(recipe.device)} is not ({reason}); use cpu"
        ) from None


def _observed(network: Network, calibration: npt.NDArray[Any]) -> dict[str, SpikeArray]:
    """What the network's neurons do on the samples; SampleError for samples that do not suit or hold no spike."""
    found = observed(network, calibration)
    if not found[INPUT].any():
        raise SampleError("calibration samples hold spikes: these hold none; give the inputs that the network will see")
    return found


def _silent(network: Network, sources: SpikesByPopulation) -> tuple[str, ...]:
    """The populations that could fire and do not, with a warning for each."""
    names = [p.name for p in network.populations if not (network.reads_membranes_of(p.name) or sources[p.name].any())]
    for name in names:
        warnings.warn(
            f"population {quoted(name)} never fires on the calibration samples: what follows it is compressed blindly; "
            "calibrate with samples that drive it",
            stacklevel=3,
        )
    return tuple(names)


def _warn_of_zeros(network: Network, recipe: Recipe) -> None:
    """Say so where a network has more zeros already than it is to have."""
    zeros = zeros_of(network)
    if zeros >= recipe.sparsity > 0:
        warnings.warn(
            f"{zeros:.2%} of the weights of {quoted(network.name)} are zero already: a sparsity of {recipe.sparsity:g} "
            "prunes nothing more; raise it to prune",
            stacklevel=3,
        )


# -------------------------------------------------------------------------------------------------------- steps


def _compressed(
    job: Job, calibration: npt.NDArray[Any] | None, finetune: FineTune | None, progress: Progress | None
) -> Network:
    if job.recipe.method == KEEP and job.recipe.bits is not None:
        if finetune is not None:
            raise OptionError("weights that are kept are not trained: got fine-tuning with keep; leave one out")
        return kept(job.network, job.recipe.bits, calibration)
    if job.recipe.method == "magnitude" and finetune is None:  # needs neither samples nor torch
        return by_magnitude(job.network, job.shares, job.formats, calibration)
    if calibration is None:
        raise SampleError("fine-tuning needs calibration samples: none are given; give some")
    _check_torch(job.recipe)
    from .one_shot import compress_weights

    return compress_weights(job.network, job.recipe, calibration, finetune=finetune, progress=progress)


def _like(network: Network, compressed: Network) -> Network:
    """The network without the synapses that compression removed."""
    masked = []
    for before, after in zip(network.projections, compressed.projections, strict=True):
        kept = np.where(after.connectivity.codes != 0, before.connectivity.real, 0)
        masked.append(replace(before, connectivity=before.connectivity.with_weights(kept)))
    return replace(network, projections=tuple(masked))
