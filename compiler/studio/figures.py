"""What the Studio shows of a network and of its estimates, computed by calls of the library, in a process of its own.

Files are read here, by the readers that the command line uses; a file that changes meanwhile is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ...hdl.errors import InputError, plain
from ...sim.evaluation import wilson
from ...sim.float_executor import run_float
from ...sim.reference import run_reference
from ..data.samples import Samples
from ..explain import one_line
from ..flow.estimation import Estimation, estimate_network
from ..flow.measure import confusion_of, measure_raster
from ..flow.models import read_model
from ..frontends.samples import read_samples
from ..frontends.weights import holds_weights
from ..ir.network import Network
from ..report.figures import histogram, matrix, raster
from ..report.inspection import inspect_network
from ..report.weights import bins_of
from .settings import Settings

CYCLES = 20_000
"""Of samples that an estimate counts: a tenth of the command's, for a figure at once."""

MOST_PLOTS = 12
"""Histograms and rasters that are drawn; networks may have hundreds of layers."""

Found = Iterator[dict[str, Any]]
"""Figures, and then more of them."""

Stamp = tuple[int, int, int]


class Figures:
    """The figures of one folder. What was read stays until its file changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, tuple[Any, tuple[Any, list[str]]]] = {}
        self._plain: tuple[Any, dict[str, Any]] | None = None

    def network(self, settings: Settings) -> Found:
        """The network, layer by layer, and what the samples are."""
        (given, told), weights = self._told_model(settings, real=False), self._is_weights(settings)
        shown = _weights_of(given)
        left_out = max(0, len(given.projections) - MOST_PLOTS)
        yield inspect_network(given) | {"histograms": shown, "left_out": left_out, "weights": weights, "told": told}

    def samples(self, settings: Settings) -> Found:
        """How many, of what length, and every spike of the first."""
        network = self._model(settings, real=False)
        samples = self._samples(settings, network)
        assert samples is not None, "asked for where there are samples"
        yield {
            "count": len(samples),
            "steps": samples.steps,
            "labelled": samples.labels is not None,
            "spikes": f"{float(samples.spikes.sum()) / len(samples):,.1f}",
            "raster": _input_raster(samples),
        }

    def estimates(self, settings: Settings) -> Found:
        """What the design should cost, with compression first, then without."""
        given, weights = self._model(settings, real=False), self._is_weights(settings)
        integer = given.is_integer
        found: dict[str, Any] = {"integer": integer, "weights": weights}
        if weights or not integer:
            source = self._model(settings, real=True) if weights else given
            found |= {"compressed": self._estimate(settings, source, compressed=True, integer=integer)}
            yield found
        key = (settings.target, settings.conventions, self._stamp(settings.model), self._stamp(settings.samples))
        if self._plain is None or self._plain[0] != key:
            self._plain = key, self._estimate(settings, given, compressed=False, integer=integer)
        yield found | {"plain": self._plain[1]}

    def _estimate(self, settings: Settings, source: Network, *, compressed: bool, integer: bool) -> dict[str, Any]:
        samples = self._samples(settings, source)
        options = settings.options(compressed=compressed, integer=integer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of integers they are told in `warnings`
            try:
                found = estimate_network(source, options, samples, cycles=CYCLES)
            except InputError as error:
                return {"problem": str(error)}
        data = found.data() | {"warnings": list(found.integers.warnings), "accuracy": None}
        network = found.integers.network
        data |= {"synapses": sum(p.connectivity.synapses for p in network.projections)}
        data |= {"possible": sum(p.connectivity.possible_synapses for p in network.projections)}
        return data | (_behaviour(found) if samples is not None else {})

    # -- files -------------------------------------------------------------------------------------------------

    def _model(self, settings: Settings, *, real: bool) -> Network:
        return self._told_model(settings, real=real)[0]

    def _told_model(self, settings: Settings, *, real: bool) -> tuple[Network, list[str]]:
        def read(path: Path) -> Network:
            return read_model(path, real=real, **settings.conventions)

        return self._kept(settings.model, ("model", real, str(settings.conventions)), read)

    def _is_weights(self, settings: Settings) -> bool:
        return not settings.model.endswith(".nir") and holds_weights(self._folder / settings.model)

    def _samples(self, settings: Settings, network: Network) -> Samples | None:
        if not settings.samples:
            return None
        shape = (network.input_shape, network.x_min, network.x_max, network.class_count)
        samples: Samples = self._kept(settings.samples, ("samples", shape), lambda path: read_samples(path, network))[0]
        return samples

    def _kept(self, name: str, key: Any, read: Callable[[Path], Any]) -> tuple[Any, list[str]]:
        """What a file holds, and what its reader told: read once for each of its contents, and refused where these
        change under the reader."""
        stamp = self._stamp(name)
        kept = self._read.get(str(key))
        if kept is not None and kept[0] == (name, stamp):
            return kept[1]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            found = read(self._folder / name)
        if self._stamp(name) != stamp:
            raise InputError(f"a file stays as it is while it is read: {plain(name)} changed; load it again")
        told = [one_line(str(warning.message)) for warning in caught]
        self._read[str(key)] = (name, stamp), (found, told)
        return found, told

    def _stamp(self, name: str) -> Stamp | None:
        if not name:
            return None
        try:
            status = (self._folder / name).stat()
        except OSError:
            raise InputError(f"a file stays where it is: {plain(name)} is gone; load it again") from None
        return status.st_ino, status.st_size, status.st_mtime_ns


def _weights_of(network: Network) -> list[Markup]:
    found = []
    for projection in network.projections[:MOST_PLOTS]:
        connectivity = projection.connectivity
        values = connectivity.codes if connectivity.is_integer else connectivity.real
        found.append(histogram(f"Weights from {projection.pre} to {projection.post}", bins_of(values)))
    return found


def _input_raster(samples: Samples) -> Markup:
    steps = min(samples.steps, 100)
    fired = samples.spikes[0, :steps, :64].T > 0
    rows = ["".join("b" if spike else "." for spike in row) for row in fired.tolist()]
    return raster("Input spikes of sample 0", rows, steps, named=False)


def _behaviour(estimation: Estimation) -> dict[str, Any]:
    """Of the integers on the samples: accuracy with its interval, spikes against those of the float network, and what
    classes are taken for."""
    integers, ran, recording = estimation.integers, estimation.ran, estimation.recording
    first = ran.spikes[:1]  # once more, with the neurons that the core, and so `recording`, leaves out
    found = measure_raster(run_float(integers.source, first), run_reference(integers.network, first))
    rasters = [(layer.population, raster(layer.population, layer.rows, found.steps)) for layer in found.layers]
    differing = sum(row.count("f") + row.count("i") for layer in found.layers for row in layer.rows)
    shown = {"rasters": rasters[:MOST_PLOTS], "differing": differing, "bins": _bins(found.layers)}
    if ran.labels is None:
        return shown
    right = int((recording.predicted == ran.labels).sum())
    confusion = confusion_of(ran.labels, recording.predicted, integers.network.class_count)
    return shown | {
        "accuracy": right / len(ran),
        "interval": wilson(right, len(ran)),
        "judged": len(ran),
        "confusion": None if confusion is None else matrix("Confusion matrix", "class", "predicted", confusion),
    }


def _bins(layers: Any) -> int:
    return sum(len(row) for layer in layers for row in layer.rows)


def answer(figures: Figures, what: str, settings: Settings) -> Found:
    """Compute one kind of figures."""
    kinds = {"network": figures.network, "samples": figures.samples, "estimates": figures.estimates}
    return kinds[what](settings)
