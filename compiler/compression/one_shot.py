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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import ModelError, OptionError, SampleError, quoted
from ..ir.arrays import FloatArray
from ..ir.connectivity import Dense, Quantised
from ..ir.network import INPUT, Network, Projection
from ..ir.verifier import verify
from ..lowering.quantise import CONSTANT_SPAN, quantise_codes
from ..neurons.currents import Spikes
from ..neurons.observe import calibration_inputs
from .allocation import Share, allocate, check_operation_weight, kept_after, price_of, shares_of
from .augmentation import ImageShape, image_shape, warped
from .baseline import nearest_codes, pruned
from .finetune import FineTune, Weights, divergence, scores
from .finetune import finetune as train
from .gptq import round_rows
from .grid import Format, check_scheme
from .hessian import Loss, Problem, problems_of
from .magnitude import SCOPES, check_sparsity
from .obs import Order, bytes_per_row, eliminate, eliminate_kept, refit
from .simulation import Layer, gather, inputs_of, layers_of, respond, simulate
from .staged import eliminate_in_stages, thinned

if TYPE_CHECKING:
    import torch

METHODS = ("magnitude", "activity", "obc", "osbc")

EXACT_OPERATIONS = 1e11
"""Layers whose exact elimination takes more multiplications (2/3 rows d^3) are thinned before, unless told."""

HELD_OUT = 8
"""Every eighth sample is held out for choices, where there are at least four times as many samples."""

COPIES = 3
"""Warped copies of the samples for the second moments."""

DAMPING = 0.03

SPARSE = 0.25
"""Networks that keep more of their weights than this are distilled gently: few samples would teach them by heart."""

BRISK = FineTune(epochs=70, batch_size=100, learning_rate=3e-3, temperature=1.0, hidden=0.05)
GENTLE = FineTune(epochs=30, batch_size=100, learning_rate=3e-4, temperature=1.0, hidden=1.0)
"""Distillation on the calibration samples."""

ON_GRID = (0.4, 0.2)
ON_COARSE_GRID = (0.8, 0.4)
"""The share of the epochs of fine-tuning in which weights are codes, and the learning rate then, relative to that of
real weights; coarse are codes of at most 1, which tell less of the real weights."""

FITTING = 10_000
"""What pruning and fitting takes, in samples trained on: good enough for the time left."""

LEAST_RATE = 1e-9
"""What keeps the weights of inputs that never fire comparable."""

Progress = Callable[[int, int], None]


def compress_weights(
    network: Network,
    *,
    method: str,
    sparsity: float,
    bits: int | Mapping[str, int] | None,
    scheme: str | Mapping[str, str] = "fixed_point",
    sparsities: Mapping[str, float] | None = None,
    calibration: npt.NDArray[Any],
    scope: str = "global",
    operation_weight: float = 0.0,
    pattern: str | tuple[int, int] | None = None,
    device: str = "cpu",
    memory_budget: int = 4 << 30,
    exact: bool = False,
    distil: FineTune | None = None,
    finetune: FineTune | None = None,
    progress: Progress | None = None,
) -> Network:
    """Prune and quantise a feed-forward float network; returns a float network, or with `bits` an integer one.

    `sparsity` is the share of all weights that become zero, those of dead inputs and earlier zeros included;
    `sparsities` gives the weights into a population one of their own. `bits` 2 to 16, `scheme` "fixed_point", for 2
    bits "ternary", for 1 bit "binary"; mappings give them by post population. `pattern` "n:m" (or (n, m)) keeps n of
    every m consecutive synapses of a neuron, "axb" removes whole tiles of a pre and b post neurons. With
    `operation_weight` (0 to 1) synapses go the sooner the more often their pre neuron fires: a loss is divided by the
    rate to this power, so that at 1 it is the loss per operation saved. `calibration` are integers [samples, steps,
    inputs]. Layers beyond `EXACT_OPERATIONS` are thinned first unless `exact`. `distil` changes the training on the
    calibration samples that ends `osbc` (`FineTune(epochs=0)` leaves it out); `finetune` trains the result further,
    with labels or without. `progress(done, total)` counts units of work.

    Raises OptionError for unknown or contradictory options and a memory budget too small, ModelError for integer or
    recurrent networks, SampleError for samples that do not suit or hold no spike. Warns of layers without any synapse
    left. Deterministic on one machine.
    """
    job = _Job.of(
        network,
        method,
        sparsity,
        sparsities or {},
        bits,
        scheme,
        scope,
        operation_weight,
        pattern,
        memory_budget,
        exact,
    )
    samples = _samples(network, calibration)
    if finetune is not None:
        finetune = _trainable(network, finetune)
    result = _compressed(job, samples, device, distil, finetune, progress)
    _warn_of_empty(network, result)
    return result


# ------------------------------------------------------------------------------------------------------ options


@dataclass(frozen=True, kw_only=True)
class _Job:
    """Checked options; `formats` are by post population, None for float weights."""

    network: Network
    method: str
    shares: Sequence[Share]
    formats: Mapping[str, Format] | None
    operation_weight: float
    groups: tuple[int, int] | None
    tile: tuple[int, int] | None
    memory_budget: int
    exact: bool

    @classmethod
    def of(
        cls,
        network: Network,
        method: str,
        sparsity: float,
        sparsities: Mapping[str, float],
        bits: int | Mapping[str, int] | None,
        scheme: str | Mapping[str, str],
        scope: str,
        operation_weight: float,
        pattern: str | tuple[int, int] | None,
        memory_budget: int,
        exact: bool,
    ) -> _Job:
        verify(network)
        if network.is_integer:
            raise ModelError(f"compression starts from float weights: {quoted(network.name)} is quantised already")
        if method not in METHODS:
            raise OptionError(f"a compression method is one of {', '.join(METHODS)}: got {quoted(method)}")
        if scope not in SCOPES:
            raise OptionError(f"a pruning scope is {' or '.join(SCOPES)}: got {quoted(scope)}")
        names = [p.name for p in network.populations]
        groups, tile = _pattern(pattern)
        if pattern is not None and method not in ("obc", "osbc"):
            raise OptionError(f"patterns are pruned by obc and osbc: got {quoted(method)}")
        check_operation_weight(operation_weight, method)
        _check_names(sparsities, names, "sparsities")
        for value in (sparsity, *sparsities.values()):
            check_sparsity(value)
        return cls(
            network=network,
            method=method,
            shares=shares_of(names, sparsity, sparsities, scope),
            formats=_formats(bits, scheme, names),
            operation_weight=operation_weight,
            groups=groups,
            tile=tile,
            memory_budget=memory_budget,
            exact=exact,
        )

    def relaxed(self, surplus: float) -> _Job:
        """The job that leaves real weights and so many times the synapses; patterns leave no choice."""
        if surplus == 1 or self.groups is not None or self.tile is not None:
            return replace(self, formats=None)
        shares = [replace(s, sparsity=max(0.0, 1 - surplus * (1 - s.sparsity))) for s in self.shares]
        return replace(self, shares=shares, formats=None)

    @property
    def loss(self) -> Loss:
        return Loss.CURRENT if self.method == "obc" else Loss.MEMBRANE


def _formats(
    bits: int | Mapping[str, int] | None, scheme: str | Mapping[str, str], names: Sequence[str]
) -> dict[str, Format] | None:
    for given, what in ((bits, "bits"), (scheme, "schemes")):
        if isinstance(given, Mapping):
            _check_names(given, names, what)
    if bits is None:
        if not isinstance(scheme, Mapping):
            check_scheme(scheme)
        return None
    widths = bits if isinstance(bits, Mapping) else dict.fromkeys(names, bits)
    missing = [name for name in names if name not in widths]
    if missing:
        raise OptionError(f"bits are given for every population or for none: {quoted(missing[0])} has none")
    schemes = scheme if isinstance(scheme, Mapping) else dict.fromkeys(names, scheme)
    return {name: Format(widths[name], schemes.get(name, "fixed_point")) for name in names}


def _check_names(given: Mapping[str, object], names: Sequence[str], what: str) -> None:
    for name in given:
        if name not in names:
            raise OptionError(f"{what} name populations ({', '.join(map(quoted, names))}): got {quoted(name)}")


def _pattern(pattern: str | tuple[int, int] | None) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """Groups (n of m) or tiles (pre x post)."""
    if pattern is None:
        return None, None
    text = ":".join(map(str, pattern)) if isinstance(pattern, tuple) else str(pattern)
    for mark in (":", "x"):
        first, found, second = text.partition(mark)
        if found and first.isdecimal() and second.isdecimal():
            pair = int(first), int(second)
            if mark == ":" and 0 < pair[0] < pair[1]:
                return pair, None
            if mark == "x" and min(pair) > 0:
                return None, pair
    raise OptionError(f"a pattern is n:m with 0 < n < m, or axb for tiles: got {quoted(text)}")


def _samples(network: Network, calibration: npt.NDArray[Any]) -> Spikes:
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
    """The training with its samples checked, [samples, steps, inputs]."""
    if training.spikes is None:
        return training
    calibration_inputs(network, training.spikes)  # checks shape, kind and the first values
    least, most = training.spikes.min(), training.spikes.max()
    if least < 0 or most > network.x_max:
        raise SampleError(f"training samples hold 0 to {network.x_max}: got {least} to {most}")
    classes = network.population(network.output).size
    labels = training.labels
    if labels is not None and (labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes):
        raise SampleError(f"labels are 0 to {classes - 1}, an output each: got {labels.min()} to {labels.max()}")
    return replace(training, spikes=training.spikes.reshape(*training.spikes.shape[:2], network.input_size))


def _warn_of_empty(before: Network, after: Network) -> None:
    for old, new in zip(before.projections, after.projections, strict=True):
        codes = new.weights.codes if isinstance(new.weights, Quantised) else new.weights
        if np.any(_real(old)) and not codes.any():
            warnings.warn(
                f"compression removed every synapse from {quoted(new.pre)} to {quoted(new.post)}; lower the sparsity",
                stacklevel=3,
            )


def _real(projection: Projection) -> FloatArray:
    assert not isinstance(projection.weights, Quantised)
    return projection.weights


# --------------------------------------------------------------------------------------------------- the methods


def _compressed(
    job: _Job,
    samples: Spikes,
    device: str,
    distil: FineTune | None,
    finetune: FineTune | None,
    progress: Progress | None,
) -> Network:
    layers = layers_of(job.network, device)
    data = _Data.of(job.network, layers, samples, device)
    if finetune is not None and finetune.epochs > 0:
        weights = _tuned(job, layers, data, finetune, progress)
    else:
        distilled = job.method == "osbc" and (distil is None or distil.epochs > 0)
        work = _work(distil or BRISK, samples)
        meter = _Meter(progress, (FITTING, work) if distilled else (FITTING,))
        weights = _one_shot(job, layers, data, meter)
        if distilled:
            meter.next()
            trained = _trained(job, layers, data, weights, distil or _distillation(weights), meter)
            weights = _better(job, layers, data, weights, trained)
        meter.report(1, 1)
    return _network(job, layers, weights, samples)


def _one_shot(job: _Job, layers: Sequence[Layer], data: _Data, meter: _Meter) -> list[Weights]:
    return _fitted(job, layers, data, meter) if job.method in ("obc", "osbc") else _baseline(job, layers, data)


def _tuned(
    job: _Job, layers: Sequence[Layer], data: _Data, training: FineTune, progress: Progress | None
) -> list[Weights]:
    """Real weights pruned in one shot, trained, and pruned further on the way; then rounded and trained on the grid."""
    coarse = job.formats is not None and all(f.grid.limit == 1 for f in job.formats.values())
    if coarse and training.warp is None:
        training = replace(training, warp=False)
    share, rate = ON_COARSE_GRID if coarse else ON_GRID
    last = 0 if job.formats is None else int(share * training.epochs)
    phases = [
        replace(training, epochs=training.epochs - last),
        replace(training, epochs=last, learning_rate=training.learning_rate * rate),
    ]
    meter = _Meter(progress, (FITTING, *(_work(phase, data.calibration) for phase in phases)))
    begin = job.relaxed(training.surplus)
    weights = _one_shot(begin, layers, data, meter)
    meter.next()
    weights = _trained(job, layers, data, weights, phases[0], meter, () if begin.shares is job.shares else job.shares)
    meter.next()
    if job.formats is not None:
        weights = _rounded(job, layers, data, weights)
        if last:
            weights = _trained(job, layers, data, weights, phases[1], meter)
    meter.report(1, 1)
    return weights


def _rounded(job: _Job, layers: Sequence[Layer], data: _Data, weights: Sequence[Weights]) -> list[Weights]:
    """The codes that keep what real weights do on their own spikes."""
    seen = {INPUT: data.spikes[INPUT]}
    result = []
    for layer, item in zip(layers, weights, strict=True):
        inputs = gather(layer, seen)
        problems = _problems(job, layer, item.effective(), item.bias, inputs)
        masks = [item.kept[:, _index(p.neurons, layer)].T for p in problems]
        result.append(_weights(job, layer, problems, masks))
        spikes = respond(layer, inputs @ item.effective() + item.bias).spikes
        if spikes is not None:
            seen[layer.name] = spikes
    return result


def _distillation(weights: Sequence[Weights]) -> FineTune:
    """How to distil these weights unless told."""
    kept = sum(int(w.kept.sum()) for w in weights)
    return BRISK if kept <= SPARSE * sum(w.kept.numel() for w in weights) else GENTLE


def _trained(
    job: _Job,
    layers: Sequence[Layer],
    data: _Data,
    weights: Sequence[Weights],
    options: FineTune,
    meter: _Meter,
    shares: Sequence[Share] = (),
) -> list[Weights]:
    result = [w.copy() for w in weights]
    train(layers, result, data.calibration, job.network.output, options, data.image, meter.report, shares)
    return result


def _work(training: FineTune, samples: Spikes) -> int:
    """How many samples training sees."""
    return training.epochs * len(samples if training.spikes is None else training.spikes)


class _Meter:
    """Progress over parts of so much work each."""

    def __init__(self, progress: Progress | None, parts: Sequence[int]) -> None:
        self.progress, self.parts, self.part = progress, parts, 0

    def next(self) -> None:
        self.report(1, 1)
        self.part += 1

    def advance_in(self, number: int, numbers: int, total: int) -> Callable[[int], None]:
        """What a step `number` of `numbers` in this part calls with the units of its `total` that it has done."""
        done = number * total

        def advance(units: int) -> None:
            nonlocal done
            done += units
            self.report(done, numbers * total)

        return advance

    def report(self, done: int, total: int) -> None:
        if self.progress is not None:
            before, work = sum(self.parts[: self.part]), sum(self.parts[self.part : self.part + 1])
            self.progress(before + work * done // max(1, total), sum(self.parts))


@dataclass(frozen=True, eq=False, kw_only=True)
class _Data:
    """Calibration samples [samples, steps, inputs], what the original network does on them, and those held out."""

    calibration: Spikes
    image: ImageShape | None
    spikes: Mapping[str, torch.Tensor]
    held_out: torch.Tensor
    answers: torch.Tensor

    @classmethod
    def of(cls, network: Network, layers: Sequence[Layer], samples: Spikes, device: str) -> _Data:
        import torch

        generator = torch.Generator().manual_seed(0)
        apart = np.arange(len(samples)) % HELD_OUT == HELD_OUT - 1
        if len(samples) < 4 * HELD_OUT:
            apart[:] = False
        calibration, held_out = samples[~apart], samples[apart] if apart.any() else samples
        image = image_shape(network.input_shape, calibration)
        extended, judges = torch.as_tensor(calibration), torch.as_tensor(held_out)
        if image is not None:
            extended = torch.cat([extended, *(warped(extended, image, generator) for _ in range(COPIES))])
            judges = torch.cat([judges, *(warped(judges, image, generator) for _ in range(COPIES))])
        inputs, judge = inputs_of(extended, device), inputs_of(judges, device)
        with torch.no_grad():
            spikes = {INPUT: inputs}
            spikes |= {name: r.spikes for name, r in simulate(layers, inputs).items() if r.spikes is not None}
            answers = scores(simulate(layers, judge)[network.output])
        return cls(calibration=calibration, image=image, spikes=spikes, held_out=judge, answers=answers)


def _better(
    job: _Job, layers: Sequence[Layer], data: _Data, first: list[Weights], second: list[Weights]
) -> list[Weights]:
    """Whichever weights answer more like the original network on the samples that were held out."""
    return second if _distance(job, layers, data, second) < _distance(job, layers, data, first) else first


def _distance(job: _Job, layers: Sequence[Layer], data: _Data, weights: Sequence[Weights]) -> float:
    import torch

    with torch.no_grad():
        answer = simulate(layers, data.held_out, [w.effective() for w in weights], [w.bias for w in weights])
        return float(divergence(scores(answer[job.network.output]), data.answers))


def _network(job: _Job, layers: Sequence[Layer], weights: Sequence[Weights], samples: Spikes) -> Network:
    """The network with these weights and biases: integer where they are codes."""
    populations, projections, codes = [], {}, {}
    for layer, item in zip(layers, weights, strict=True):
        folded = layer.folded
        gain = _gain(layer)
        change = (_array(item.bias) - _array(layer.bias)) / gain
        bias = (
            np.broadcast_to(folded.population.bias, change.shape) + change if change.any() else folded.population.bias
        )
        populations.append(replace(folded.population, bias=bias))
        real = _array(item.effective()) / gain
        whole = None if item.scales is None else _array(item.codes()).astype(np.int64)
        start = 0
        for projection, (_, size, _) in zip(folded.projections, layer.sources, strict=True):
            part = slice(start, start + size)
            start += size
            projections[id(projection)] = replace(projection, connectivity=Dense(weights=real[part]))
            if whole is not None and item.scales is not None and job.formats is not None:
                form = job.formats[layer.name]
                codes[id(projection)] = Quantised(
                    codes=whole[part] * np.sign(gain).astype(np.int64),
                    bits=form.stored_bits,
                    scheme=form.scheme,
                    scale=_array(item.scales) / np.abs(gain),
                )
    order = [id(p) for p in job.network.projections]
    network = replace(job.network, populations=tuple(populations), projections=tuple(projections[key] for key in order))
    if job.formats is None:
        return network
    return quantise_codes(network, [codes[key] for key in order], samples)


def _gain(layer: Layer) -> FloatArray:
    """What the network's own weights were multiplied by; 1 where that is 0."""
    gain = layer.folded.gain
    return np.where(gain != 0, gain, 1.0)


def _array(values: torch.Tensor) -> FloatArray:
    return np.asarray(values.detach().cpu().double().numpy(), np.float64)


# ---------------------------------------------------------------------------------------------------- baselines


def _baseline(job: _Job, layers: Sequence[Layer], data: _Data) -> list[Weights]:
    """Masks by magnitude, or by magnitude times presynaptic activity, and plain rounding: nothing is made up for."""
    rates = None
    if job.method == "activity":
        rates = {name: _array(x.mean(dim=(0, 1))) + LEAST_RATE for name, x in data.spikes.items()}
    network = pruned(job.network, job.shares, rates)
    codes = None if job.formats is None else nearest_codes(network, job.formats, data.calibration)
    result = []
    for layer in layers_of(network, str(layers[0].weight.device)):
        item = Weights(layer.weight, layer.bias, layer.weight != 0)
        if job.formats is not None and codes is not None:
            scale = next(c.scale for c, p in zip(codes, network.projections, strict=True) if p.post == layer.name)
            scale = np.broadcast_to(scale * np.abs(_gain(layer)), layer.bias.shape)
            item.scales = item.least_scales = layer.bias.new_tensor(scale)
            item.grid, item.shared = job.formats[layer.name].grid, not layer.folded.spiking
        result.append(item)
    return result


# -------------------------------------------------------------------------------------------- on second moments


def _fitted(job: _Job, layers: Sequence[Layer], data: _Data, meter: _Meter) -> list[Weights]:
    """Masks by loss and the weights that suit them, in sequential mode where that is better."""
    problems = [_problems(job, x, x.weight, x.bias, gather(x, data.spikes)) for x in layers]
    kept = _kept(job, layers, problems, meter)
    plain = [_weights(job, layer, p, k) for layer, p, k in zip(layers, problems, kept, strict=True)]
    if job.method == "obc" or all(pre == INPUT for layer in layers for pre, _, _ in layer.sources):
        return plain
    return _better(job, layers, data, plain, _sequential(job, layers, data, plain, kept))


def _problems(
    job: _Job,
    layer: Layer,
    weight: torch.Tensor,
    bias: torch.Tensor,
    inputs: torch.Tensor,
    seen: torch.Tensor | None = None,
) -> list[Problem]:
    problems = problems_of(
        layer,
        weight,
        bias,
        inputs,
        seen=seen,
        loss=job.loss,
        damping=DAMPING,
        free_bias=job.method == "osbc",
        memory_budget=job.memory_budget,
    )
    price = price_of(inputs, job.operation_weight)
    return problems if price is None else [replace(p, price=price) for p in problems]


def _sequential(
    job: _Job, layers: Sequence[Layer], data: _Data, plain: Sequence[Weights], kept: Sequence[list[torch.Tensor]]
) -> list[Weights]:
    """The weights that give the original membranes on the spikes of the compressed network, layer after layer."""
    seen = {INPUT: data.spikes[INPUT]}
    result = []
    for layer, item, masks in zip(layers, plain, kept, strict=True):
        inputs = gather(layer, seen)
        if any(pre != INPUT for pre, _, _ in layer.sources):
            problems = _problems(job, layer, layer.weight, layer.bias, gather(layer, data.spikes), inputs)
            item = _weights(job, layer, problems, masks)
        result.append(item)
        spikes = respond(layer, inputs @ item.effective() + item.bias).spikes
        if spikes is not None:
            seen[layer.name] = spikes
    return result


def _weights(job: _Job, layer: Layer, problems: Sequence[Problem], kept: Sequence[torch.Tensor]) -> Weights:
    """The best weights, or codes, of one population on what is kept."""
    import torch

    result = Weights(torch.zeros_like(layer.weight), layer.bias.clone(), torch.zeros_like(layer.weight).bool())
    if job.formats is not None:
        result.grid = job.formats[layer.name].grid
        result.least_scales = _least_scales(layer, result.grid.limit)
        result.scales = torch.ones_like(layer.bias)
        result.shared = not layer.folded.spiking
    for problem, mask in zip(problems, kept, strict=True):
        neurons = torch.as_tensor(problem.neurons, device=mask.device)
        if result.scales is None or result.least_scales is None or result.grid is None:
            rows = refit(problem.hessian, problem.target, mask, job.memory_budget)
        else:
            rounded = round_rows(
                problem.hessian,
                problem.target,
                mask,
                result.grid,
                least_scales=result.least_scales[neurons].double(),
                shared=result.shared,
                memory_budget=job.memory_budget,
            )
            rows = rounded.weights
            result.scales[neurons] = rounded.scales.to(result.scales.dtype)
        result.shadow[:, neurons] = rows.T.to(result.shadow.dtype)
        result.bias[neurons] = problem.bias_for(rows).to(result.bias.dtype)
        result.kept[:, neurons] = mask.T
    if result.scales is not None and result.shared:
        result.scales = result.scales.max().expand_as(result.scales).clone()
    return result


def _least_scales(layer: Layer, limit: int) -> torch.Tensor:
    """The smallest scales whose constants still fit beside their weights (see spikeloom.compiler.lowering.quantise)."""
    import torch

    constants = torch.stack([layer.threshold, layer.sub, layer.v_reset, layer.bias]).abs().amax(dim=0)
    if not layer.folded.spiking:
        constants = constants.max().expand_as(constants)
    return constants / (limit * CONSTANT_SPAN)


def _kept(
    job: _Job, layers: Sequence[Layer], problems: Sequence[list[Problem]], meter: _Meter
) -> list[list[torch.Tensor]]:
    """Which synapses [rows, fan-in] stay, for each problem of each population."""
    gone = [
        [layer.weight[:, _index(p.neurons, layer)].T == 0 for p in group]
        for layer, group in zip(layers, problems, strict=True)
    ]
    if job.groups is not None:
        gone = [[_outside(job, p, g) for p, g in zip(*pair, strict=True)] for pair in zip(problems, gone, strict=True)]
    result = [[~g for g in group] for group in gone]
    shares = [share for share in job.shares if share.sparsity > 0]
    for number, share in enumerate(shares):
        members = [index for index, layer in enumerate(layers) if layer.name in share.populations]
        flat = [p for index in members for p in problems[index]]
        advance = meter.advance_in(number, len(shares), sum(p.target.numel() for p in flat))
        masks = _kept_of(job, flat, [g for index in members for g in gone[index]], share.sparsity, advance)
        for index in members:
            result[index], masks = masks[: len(problems[index])], masks[len(problems[index]) :]
    return result


def _index(neurons: npt.NDArray[np.int64], layer: Layer) -> torch.Tensor:
    import torch

    return torch.as_tensor(neurons, device=layer.weight.device)


def _outside(job: _Job, problem: Problem, gone: torch.Tensor) -> torch.Tensor:
    """What goes, earlier zeros included, so that n of every m synapses stay."""
    assert job.groups is not None
    order = eliminate(
        problem.hessian,
        problem.target,
        gone,
        pattern=job.groups,
        price=problem.price,
        memory_budget=job.memory_budget,
    )
    counts = order.losses.isfinite().sum(dim=1)
    return gone | ~kept_after(order.synapses, counts)


def _kept_of(
    job: _Job, problems: list[Problem], gone: list[torch.Tensor], sparsity: float, advance: Callable[[int], None]
) -> list[torch.Tensor]:
    """Which synapses of problems that share a sparsity stay."""
    if job.tile is not None:
        return eliminate_in_stages(problems, gone, sparsity, tile=job.tile, memory_budget=job.memory_budget)
    if job.exact or _affordable(problems, job.memory_budget):
        orders = [_order(p, g, job.memory_budget, advance) for p, g in zip(problems, gone, strict=True)]
    else:
        density = max(1 - sparsity, _affordable_density(problems, job.memory_budget))
        kept = thinned(problems, gone, density)
        if density == 1 - sparsity:
            return kept
        orders = [
            eliminate_kept(p.hessian, p.target, k, price=p.price, memory_budget=job.memory_budget, advance=advance)
            for p, k in zip(problems, kept, strict=True)
        ]
    counts = allocate([o.losses for o in orders], [p.energy for p in problems], sparsity)
    return [kept_after(o.synapses, c) for o, c in zip(orders, counts, strict=True)]


def _affordable(problems: Sequence[Problem], memory_budget: int) -> bool:
    sizes = [(len(p.target), int(p.active.sum())) for p in problems]
    operations = sum(2 / 3 * rows * size**3 for rows, size in sizes)
    return operations <= EXACT_OPERATIONS and all(bytes_per_row(size) <= memory_budget for _, size in sizes)


def _affordable_density(problems: Sequence[Problem], memory_budget: int) -> float:
    """The share of synapses whose exact elimination, each row with an inverse of its own, is within the budgets."""
    operations = sum(5 / 3 * len(p.target) * p.target.shape[1] ** 3 for p in problems)
    most = max(p.target.shape[1] for p in problems)
    return min(1.0, (EXACT_OPERATIONS / operations) ** (1 / 3), (memory_budget / bytes_per_row(most)) ** 0.5)


def _order(problem: Problem, gone: torch.Tensor, memory_budget: int, advance: Callable[[int], None]) -> Order:
    """The order of all synapses: those absent before, those of dead inputs, the others by exact elimination.

    A dead input shares no second moment with any other: what it costs is what the damping makes of its weight.
    """
    import torch

    active, dead = problem.active.nonzero()[:, 0], (~problem.active).nonzero()[:, 0]
    found = eliminate(
        problem.hessian[active][:, active],
        problem.target[:, active],
        gone[:, active],
        price=None if problem.price is None else problem.price[active],
        memory_budget=memory_budget,
        advance=advance,
    )
    costs = 0.5 * problem.target[:, dead] ** 2 * problem.hessian.diagonal()[dead]
    costs = costs if problem.price is None else costs * problem.price[dead]
    cheapest = costs.argsort(dim=1, stable=True)
    synapses = torch.cat([dead[cheapest], active[found.synapses]], dim=1)
    losses = torch.cat([costs.gather(1, cheapest), found.losses], dim=1)
    absent = gone.gather(1, synapses)
    first = absent.logical_not().to(torch.int8).argsort(dim=1, stable=True)
    return Order(synapses.gather(1, first), losses.masked_fill(absent, -torch.inf).gather(1, first))
