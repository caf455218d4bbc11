"""One-shot compression of a network on calibration samples: which weights stay, what they become, what is corrected.

The steps of `compress_weights` for the methods on second moments (`obc` keeps input currents, `osbc` membranes):

1. Traces: the original network runs on the samples and, where the inputs form an image, on warped copies of them.
2. Pruning: exact elimination (`obs`), of large layers after thinning (`staged`), the zeros allocated by loss
   (`allocation`).
3. Weights: least squares on what is kept, or codes by `gptq`; the bias takes up the mean error.
4. Sequential mode: later layers are fitted to the original's membranes on the compressed network's own spikes, where
   that brings the output nearer to the original's on samples that were held out.
5. `osbc` only: distillation of the original on the same samples, by surrogate gradients, where that does so too.

Magnitude and activity are the baselines: masks without any correction, and plain rounding.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import ModelError, SampleError, quoted
from ..data.samples import UNLABELLED
from ..ir.arrays import FloatArray, SpikeArray
from ..ir.connectivity import Quantised
from ..ir.network import INPUT, Network
from ..ir.signed import least_value, unsigned
from ..lowering.quantise import dequantise, quantise_codes
from ..names import FITTED
from ..neurons.observe import calibration_inputs
from .allocation import Share
from .answers import labels_steps
from .baseline import by_magnitude, nearest_codes, pruned
from .calibration import Calibration
from .finetune import FineTune, Weights
from .finetune import finetune as train
from .grid import Format
from .job import Job
from .meter import Meter, Progress
from .moments import fitted, rounded
from .nudge import nudged
from .recipe import Recipe
from .report import zeros_of
from .simulation import Layer, layers_of, simulate
from .trained import require_trainable, settled, trains_neurons

if TYPE_CHECKING:
    import torch

SPARSE = 0.25
"""Networks that keep more of their weights than this are distilled gently: few samples would teach them by heart."""

BRISK = FineTune(epochs=70, batch_size=100, learning_rate=3e-3, temperature=1.0, hidden=0.05)
GENTLE = FineTune(epochs=30, batch_size=100, learning_rate=3e-4, temperature=1.0, hidden=1.0)
"""Distillation on the calibration samples."""

BATCH_STEPS, LEAST_BATCH = 10_000, 16
"""An update of distillation sees steps of so many samples in all, of so many samples at least."""

ON_GRID = (0.4, 0.2)
ON_COARSE_GRID = (0.8, 0.4)
"""The share of the epochs of fine-tuning in which weights are codes, and the learning rate then, relative to that of
real weights; coarse are codes of at most 1, which tell less of the real weights."""

FITTING = 10_000
"""What pruning and fitting takes, in samples trained on: good enough for the time left."""

FIRST = 16
"""How many samples of material that varies are looked at before training."""

LEAST_RATE = 1e-9
"""What keeps the weights of inputs that never fire comparable."""


def compress_weights(
    network: Network,
    recipe: Recipe,
    calibration: npt.NDArray[Any],
    *,
    distil: FineTune | None = None,
    finetune: FineTune | None = None,
    progress: Progress | None = None,
) -> Network:
    """Prune and quantise a float network; returns a float network, with bits in the recipe an integer one.

    `calibration` are integers [samples, steps, inputs]. Large layers are thinned first unless the recipe is
    exact. `distil` changes the training on the calibration samples that ends `osbc`; `finetune` trains the
    result further instead, with labels or without. `progress(done, total)` counts units of work.

    Raises OptionError for a recipe that does not suit the network and a memory budget too small, ModelError for integer
    networks and for delays per synapse, SampleError for samples that do not suit or hold no spike. Warns of layers
    without any synapse left. Deterministic on one machine.
    """
    job = Job.of(network, recipe)
    samples = _samples(network, calibration)
    if finetune is not None:
        finetune = _trainable(network, finetune)
    if recipe.method == "magnitude" and finetune is None:
        result = by_magnitude(job.network, job.shares, job.formats, samples)
    else:
        result = _compressed(job, samples, distil, finetune, progress)
    _warn_of_empty(network, result)
    return result


def _samples(network: Network, calibration: npt.NDArray[Any]) -> SpikeArray:
    """All samples, checked, uint8 [samples, steps, inputs]."""
    first = calibration_inputs(network, calibration)
    parts = [first]
    for start in range(len(first), len(calibration), len(first)):
        parts.append(calibration_inputs(network, calibration[start : start + len(first)]))
    samples = np.concatenate(parts)
    if not samples.any():
        raise SampleError("calibration samples hold spikes: these hold none; give the inputs that the network will see")
    return samples


def _trainable(network: Network, training: FineTune) -> FineTune:
    """The training with its samples checked, [samples, steps, inputs], and a float teacher."""
    training = replace(training, teacher=_teacher(network, training.teacher))
    samples = training.samples
    if samples is None:
        return training
    first = samples.take(np.arange(min(FIRST, len(samples))), np.random.default_rng(training.seed))
    if training.spikes is None:
        calibration_inputs(network, first)
    else:
        calibration_inputs(network, training.spikes)  # checks shape, kind and the first values
        least, most = training.spikes.min(), training.spikes.max()
        allowed = least_value(network, training.spikes.shape[2:])
        if least < allowed or most > network.x_max:
            raise SampleError(f"training samples hold {allowed} to {network.x_max}: got {least} to {most}")
        training = replace(training, spikes=unsigned(network, training.spikes))
    if samples.labels is not None:
        _check_labels(network, samples.labels, first.shape[1])
    return training


def _check_labels(network: Network, labels: npt.NDArray[Any], steps: int) -> None:
    """SampleError where labels do not number the classes, of samples or of steps of a network that is read in all."""
    if labels.ndim > 1 and not labels_steps(network.reading):
        raise SampleError(
            f"labels of steps are for networks that are read by their membranes in every step: {quoted(network.name)} "
            f"is read by {network.reading.by}; give a label for each sample, or read it by membranes"
        )
    if labels.ndim > 1 and labels.shape[1:] != (steps,):
        raise SampleError(f"every step has a label, -1 for none: got {labels.shape[1:]} for {steps} steps")
    least, classes = 0 if labels.ndim == 1 else UNLABELLED, network.class_count
    if labels.dtype.kind not in "iu" or labels.min() < least or labels.max() >= classes:
        raise SampleError(f"labels are 0 to {classes - 1}, a class each: got {labels.min()} to {labels.max()}")


def _teacher(network: Network, teacher: Network | None) -> Network | None:
    """The teacher as a float network; ModelError where it does not answer what this network is asked."""
    if teacher is None:
        return None
    for what, own, other in (
        ("inputs", network.input_size, teacher.input_size),
        ("classes", network.class_count, teacher.class_count),
    ):
        if own != other:
            raise ModelError(
                f"a teacher has the network's inputs and classes: {quoted(teacher.name)} has {other} {what}, "
                f"{quoted(network.name)} {own}; take one that was trained for the same samples"
            )
    return dequantise(teacher) if teacher.is_integer else teacher


def _warn_of_empty(before: Network, after: Network) -> None:
    for old, new in zip(before.projections, after.projections, strict=True):
        if old.connectivity.synapses and not new.connectivity.synapses:
            warnings.warn(
                f"compression removed every synapse from {quoted(new.pre)} to {quoted(new.post)}; lower the sparsity",
                stacklevel=3,
            )


def _compressed(
    job: Job, samples: SpikeArray, distil: FineTune | None, finetune: FineTune | None, progress: Progress | None
) -> Network:
    layers = layers_of(job.network, job.recipe.device)
    data = Calibration.of(job.network, layers, samples, job.recipe.device)
    if finetune is not None and finetune.epochs > 0:
        return _network(job, *_tuned(job, layers, data, finetune, progress), samples)
    distilled = job.recipe.method == "osbc" and job.recipe.distil and (distil is None or distil.epochs > 0)
    work = _work(distil or _bounded(BRISK, data.samples), samples)
    meter = Meter(progress, (FITTING, work) if distilled else (FITTING,))
    trained_job = replace(job, formats=None) if distilled and _rounds_last(job) else job
    weights = _one_shot(trained_job, layers, data, meter)
    if distilled:
        meter.next()
        chosen = distil or _bounded(_distillation(weights), data.samples)
        trained = _trained(trained_job, layers, data, weights, chosen, meter)
        weights = data.better(layers, weights, trained)
    if trained_job is not job:
        weights = rounded(job, layers, data, weights)
    meter.report(1, 1)
    network = _network(job, layers, weights, samples)
    fitted_codes = job.formats is not None and job.recipe.method in FITTED
    return _keeping_spikes(network, data) if _has_loops(network) and fitted_codes else network


def _has_loops(network: Network) -> bool:
    """Whether spikes come back."""
    return any(network.is_recurrent(projection) for projection in network.projections)


def _one_shot(job: Job, layers: Sequence[Layer], data: Calibration, meter: Meter) -> list[Weights]:
    return fitted(job, layers, data, meter) if job.recipe.method in FITTED else _baseline(job, layers, data)


def _tuned(
    job: Job, layers: Sequence[Layer], data: Calibration, training: FineTune, progress: Progress | None
) -> tuple[Sequence[Layer], list[Weights]]:
    """Real weights pruned in one shot, trained, and pruned further on the way; then rounded and trained on the grid.

    The layers come back with their neurons where those are trained.
    """
    if trains_neurons(training):
        require_trainable(job.network, training)
        training = replace(training, teacher=training.teacher or job.network)  # whose neurons stay
    coarse = job.formats is not None and all(map(_is_coarse, job.formats.values()))
    if coarse and training.warp is None:
        training = replace(training, warp=False)
    training = training.settled(_staying(job))
    assert training.learning_rate is not None
    share, rate = ON_COARSE_GRID if coarse else ON_GRID
    last = 0 if job.formats is None else int(share * training.epochs)
    phases = [
        replace(training, epochs=training.epochs - last),
        replace(training, epochs=last, learning_rate=training.learning_rate * rate),
    ]
    meter = Meter(progress, (FITTING, *(_work(phase, data.samples) for phase in phases)))
    begin = job.relaxed(training.surplus)
    weights = _one_shot(begin, layers, data, meter)
    meter.next()
    weights = _trained(job, layers, data, weights, phases[0], meter, () if begin.shares is job.shares else job.shares)
    layers = settled(layers, weights)
    meter.next()
    if job.formats is not None:
        weights = rounded(job, layers, data, weights)
        if last:
            weights = _trained(job, layers, data, weights, phases[1], meter)
            layers = settled(layers, weights)
    meter.report(1, 1)
    return layers, weights


def _is_coarse(form: Format) -> bool:
    """Whether codes are 1 in size at most."""
    return form.grid.limit == 1


def _rounds_last(job: Job) -> bool:
    """Whether distillation trains real weights that are then rounded: where few stay, and codes tell enough of them.

    Codes that are trained themselves learn less of the original. Where most weights stay, real ones have nothing to
    learn, coarse codes must make up for what they cannot tell, and around loops wrong spikes of rounding add up.
    """
    if job.formats is None or any(map(_is_coarse, job.formats.values())) or _has_loops(job.network):
        return False
    return _staying(job) <= SPARSE


def _staying(job: Job) -> float:
    """The share of all weights that stay."""
    sizes = {p.name: 0 for p in job.network.populations}
    for projection in job.network.projections:
        sizes[projection.post] += projection.connectivity.possible_synapses
    zero = sum(share.sparsity * sum(sizes[name] for name in share.populations) for share in job.shares)
    return max(0.0, 1 - max(zero / sum(sizes.values()), zeros_of(job.network)))


def _distillation(weights: Sequence[Weights]) -> FineTune:
    """How to distil these weights unless told."""
    kept = sum(int(w.kept.sum()) for w in weights)
    return BRISK if kept <= SPARSE * sum(w.kept.numel() for w in weights) else GENTLE


def _bounded(training: FineTune, samples: SpikeArray) -> FineTune:
    """The same for long samples in as many updates, each on fewer of them: what an update learns is in few already."""
    count, steps = samples.shape[:2]
    batch = max(LEAST_BATCH, BATCH_STEPS // steps)
    if batch >= min(training.batch_size, count):
        return training
    updates = training.epochs * -(-count // training.batch_size)
    return replace(training, batch_size=batch, epochs=max(1, round(updates / -(-count // batch))))


def _trained(
    job: Job,
    layers: Sequence[Layer],
    data: Calibration,
    weights: Sequence[Weights],
    options: FineTune,
    meter: Meter,
    shares: Sequence[Share] = (),
) -> list[Weights]:
    result = [w.copy() for w in weights]
    output, reading = job.network.output, job.network.reading
    train(layers, result, data.samples, output, options, reading, data.image, meter.report, shares)
    return result


def _work(training: FineTune, samples: SpikeArray) -> int:
    """How many samples training sees."""
    material = training.samples
    return training.epochs * len(samples if material is None else material)


def _network(job: Job, layers: Sequence[Layer], weights: Sequence[Weights], samples: SpikeArray) -> Network:
    """The network with these weights and biases: integer where they are codes."""
    populations, projections, codes = [], {}, {}
    for layer, item in zip(layers, weights, strict=True):
        form, view = layer.form, layer.view
        gain = _gain(layer)
        change = ((_array(item.bias) - _array(layer.bias)) / gain)[view.groups]
        bias = np.broadcast_to(form.population.bias, change.shape) + change if change.any() else form.population.bias
        populations.append(replace(form.population, bias=bias))
        for projection, real in zip(form.projections, view.split(_array(item.effective()) / gain), strict=True):
            connectivity = projection.connectivity.with_weights(real)
            projections[id(projection)] = replace(projection, connectivity=connectivity)
        if item.scales is not None and job.formats is not None:
            stored = job.formats[layer.name]
            scale = (_array(item.scales) / np.abs(gain))[view.groups]
            whole = _array(item.codes()).astype(np.int64) * np.sign(gain).astype(np.int64)
            for projection, part in zip(form.projections, view.split(whole), strict=True):
                quantised = Quantised(codes=part, bits=stored.stored_bits, scheme=stored.scheme, scale=scale)
                codes[id(projection)] = quantised
    order = [id(p) for p in job.network.projections]
    network = replace(job.network, populations=tuple(populations), projections=tuple(projections[key] for key in order))
    if job.formats is None:
        return network
    return quantise_codes(network, [codes[key] for key in order], samples)


def _keeping_spikes(network: Network, data: Calibration) -> Network:
    """The integer network with codes that keep more of the original's spikes where they come back, if there are any."""
    wrong = _wrong(network, data)
    if not wrong:
        return network
    count = len(data.samples)
    wanted = {name: spikes[:, :count].cpu().numpy() for name, spikes in data.spikes.items()}
    other = nudged(network, wanted)
    return other if _wrong(other, data) < wrong else network


def _wrong(network: Network, data: Calibration) -> int:
    """In how many bins of the calibration samples spikes of the integer network are not the original's."""
    import torch

    with torch.no_grad():
        answers = simulate(layers_of(dequantise(network)), data.spikes[INPUT].cpu())
    trains = {name: answer.spikes for name, answer in answers.items()}
    return sum(int((s != data.spikes[name].cpu()).sum()) for name, s in trains.items() if s is not None)


def _gain(layer: Layer) -> FloatArray:
    """What the network's own weights were multiplied by; 1 where that is 0."""
    gain = layer.form.gain
    return np.where(gain != 0, gain, 1.0)


def _array(values: torch.Tensor) -> FloatArray:
    return np.asarray(values.detach().cpu().double().numpy(), np.float64)


def _baseline(job: Job, layers: Sequence[Layer], data: Calibration) -> list[Weights]:
    """Masks by magnitude, or by magnitude times presynaptic activity, and plain rounding: nothing is made up for."""
    rates = None
    if job.recipe.method == "activity":
        rates = {name: _array(x.mean(dim=(0, 1))) + LEAST_RATE for name, x in data.spikes.items()}
    network = pruned(job.network, job.shares, rates)
    codes = None if job.formats is None else nearest_codes(network, job.formats, data.samples)
    result = []
    for layer in layers_of(network, str(layers[0].weight.device)):
        item = Weights(layer.weight, layer.bias, layer.weight != 0)
        if job.formats is not None and codes is not None:
            scale = next(c.scale for c, p in zip(codes, network.projections, strict=True) if p.post == layer.name)
            scale = np.broadcast_to(scale, layer.view.groups.shape)[layer.view.first] * np.abs(_gain(layer))
            item.scales = item.least_scales = layer.bias.new_tensor(scale)
            item.grid, item.shared = job.formats[layer.name].grid, layer.form.read
        result.append(item)
    return result
