"""One point of the search: remove neurons, compress, judge on the integer reference, plan every folding."""

from __future__ import annotations

import warnings
import zlib

import numpy as np

from ...hdl.errors import InputError, ModelError
from ...hdl.staging import scratch_folder
from ...sim.numbering import of_core
from ...sim.reference import run_reference
from ..compression.apply import compress
from ..compression.pruning import prune_neurons
from ..compression.report import with_origin
from ..estimate.candidates import searched_foldings
from ..frontends.nir.reader import read_nir
from ..frontends.nir.writer import write_nir
from ..ir.arrays import FloatArray, IntArray, SpikesByPopulation
from ..ir.network import INPUT, Network
from ..neurons.contract import contract_form
from ..plan.folding import Folding, check_folding
from ..plan.lean import without_silent
from ..plan.plan import make_plan
from .candidate import Outcome, Prediction
from .point import Point
from .prediction import MOST_SAMPLES, predicted
from .subject import Subject
from .target import Target, find_target

LANES = (2, 4, 8)
"""How many lanes the search tries."""

MAX_NETWORK_BYTES = 1 << 28
"""The largest NIR file that a stored network may unpack to."""


def evaluate(subject: Subject, point: Point, target_id: str) -> Outcome:
    """What becomes of the network at a point. A point that cannot be compressed or planned has a `failure`."""
    target = find_target(target_id)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _evaluated(subject, point, target)
    except InputError as error:
        return Outcome(point=point, failure=str(error))


def foldings_of(network: Network) -> dict[str, Folding]:
    """The foldings of a core's network (`plan.lean`) by the names that candidates give them."""
    found = searched_foldings(network, LANES)
    return {name: folding for name, folding in found.items() if _possible(network, folding)}


def packed(network: Network) -> bytes:
    """A network as a compressed NIR file."""
    with scratch_folder() as folder:
        file = folder / "network.nir"
        write_nir(network, file)
        return zlib.compress(file.read_bytes())


def unpacked(data: bytes) -> Network:
    """The network that `packed` gave; ModelError for anything else."""
    decompressor = zlib.decompressobj()
    try:
        content = decompressor.decompress(data, MAX_NETWORK_BYTES)
    except zlib.error:
        content = b""
    if not content or decompressor.unconsumed_tail:
        raise ModelError("a stored network is a compressed NIR file: the database holds something else; delete it")
    with scratch_folder() as folder:
        file = folder / "network.nir"
        file.write_bytes(content)
        return read_nir(file)


def _evaluated(subject: Subject, point: Point, target: Target) -> Outcome:
    narrow, kept = _narrowed(subject, point.removed)
    recipe = point.recipe(subject.method, subject.distil)
    network, report = compress(narrow, recipe, subject.calibration, finetune=subject.finetune)
    lean, spikes = without_silent(network), None
    if subject.validation is None:
        quality, judged = _weights_kept(subject.network, network, kept), 0
    else:
        recording = run_reference(network, subject.validation.spikes)
        quality, judged = subject.judge(recording), len(subject.validation)
        spikes = of_core(lean, recording).trains(subject.validation.spikes, MOST_SAMPLES)
    return Outcome(
        point=point,
        quality=quality,
        judged=judged,
        sparsity=1 - _synapses(network) / _possible_synapses(subject.network),
        sizes=tuple((subject.network.size_of(p.name), p.size) for p in network.populations),
        foldings=_predictions(lean.network, target, spikes),
        network=packed(with_origin(network, subject.network, report)),
    )


def _possible(network: Network, folding: Folding) -> bool:
    try:
        check_folding(network, folding)
    except ModelError:
        return False
    return True


def _predictions(
    network: Network, target: Target, spikes: SpikesByPopulation | None
) -> tuple[tuple[str, Prediction], ...]:
    """Every folding that the network can be planned on. Raises ModelError where there is none."""
    found, problem = [], None
    for name, folding in foldings_of(network).items():
        try:
            found.append((name, predicted(make_plan(network, target.family.value, folding), target, spikes)))
        except ModelError as error:
            problem = error
    if not found and problem is not None:
        raise problem
    return tuple(found)


def _narrowed(subject: Subject, removed: float) -> tuple[Network, dict[str, IntArray]]:
    """The network without the share `removed` of its hidden neurons, those that fire least, and who stayed."""
    network = subject.network
    names = (INPUT, *(p.name for p in network.populations))
    hidden = [
        rates
        for population, rates in zip(network.populations, subject.rates[1:], strict=True)
        if population.name != network.output and population.fires
    ]
    rates = np.sort(np.concatenate(hidden)) if hidden else np.zeros(0)
    count = round(removed * len(rates))
    if not count:
        return network, {name: np.arange(network.size_of(name)) for name in names}
    narrow, report = prune_neurons(network, float(rates[count]), spike_rates=subject.rates)
    return narrow, dict(zip(names, report.kept, strict=True))


def _synapses(network: Network) -> int:
    return sum(p.connectivity.synapses for p in network.projections)


def _possible_synapses(network: Network) -> int:
    return sum(p.connectivity.possible_synapses for p in network.projections)


def _weights_kept(original: Network, compressed: Network, kept: dict[str, IntArray]) -> float:
    """The share of the weights' squares that compression keeps: 1 - |W' - W|^2 / |W|^2, the mean over projections."""
    shares = []
    for number, projection in enumerate(original.projections):
        weights = _contract_weights(original, number)
        after = np.zeros_like(weights)
        where = projection.connectivity.between(kept[projection.pre], kept[projection.post])
        after[where] = compressed.projections[number].connectivity.real
        total = float(np.sum(weights**2))
        shares.append(1 - float(np.sum((after - weights) ** 2)) / total if total else 1.0)
    return float(np.clip(np.mean(shares), 0, 1))


def _contract_weights(network: Network, number: int) -> FloatArray:
    """The weights of a projection as they are quantised: with the gain of the input."""
    projection = network.projections[number]
    form = contract_form(network, network.population(projection.post))
    return next(w for p, w in zip(form.projections, form.weights, strict=True) if p is projection)
