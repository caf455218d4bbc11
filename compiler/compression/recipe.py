"""One call for all compression: a `Recipe` names the method and its targets, `compress` carries it out and reports."""

from __future__ import annotations

import math
import re
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...hdl.errors import ModelError, OptionError, SampleError, quoted
from ..ir.connectivity import Dense, Quantised
from ..ir.network import Network, Projection
from ..ir.neurons import LI
from ..ir.verifier import verify
from ..lowering.error import PopulationError, quantisation_error
from ..neurons.contract import fold
from ..neurons.currents import Spikes
from ..neurons.observe import calibration_inputs, observe
from .allocation import check_operation_weight, shares_of
from .baseline import pruned, quantised
from .finetune import FineTune
from .grid import ONLY_BITS, Format, check_scheme
from .loss import membrane_losses
from .magnitude import SCOPES, check_sparsity, silenced, warn_of_silenced
from .pruning import check_threshold, prune_neurons

METHODS = ("magnitude", "activity", "obc", "osbc")
CALIBRATED = ("activity", "obc", "osbc")
"""The methods that need samples."""

LISTED = 10
"""How many populations an error message names at most."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Override:
    """What differs for the weights into one population; None leaves it to the recipe.

    Ternary and binary weights have one width, so that `bits` may be left out beside these schemes. Where only `bits`
    are given, the scheme is the recipe's if it has that width, else fixed point.
    """

    sparsity: float | None = None
    bits: int | None = None
    scheme: str | None = None

    def __post_init__(self) -> None:
        if self.sparsity is not None:
            check_sparsity(self.sparsity)
        if self.scheme is not None:
            check_scheme(self.scheme)
        if self.bits is not None:
            Format(self.bits, self.scheme or ("binary" if self.bits == 1 else "fixed_point"))

    def format_beside(self, bits: int | None, scheme: str) -> Format | None:
        """The format of these weights in a recipe of `bits` and `scheme`; None for float weights."""
        if self.scheme is not None:
            bits = ONLY_BITS.get(self.scheme, bits) if self.bits is None else self.bits
            scheme = self.scheme
        elif self.bits is not None:
            scheme = scheme if ONLY_BITS.get(scheme) == self.bits else "fixed_point"
            bits = self.bits
        return None if bits is None else Format(bits, scheme)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to compress.

    `sparsity` is the share of all weights that become zero, those of inputs that never spike included. `bits` is the
    width of the others, or None for a float network. `scheme` "ternary" means codes of -1, 0 and 1, and 2 bits;
    "binary" codes of -1 and 1, and 1 bit, beside the zeros of `sparsity`. `scope`
    "global" spreads the zeros over the layers by what they cost, "layer" gives each layer the same share. `pattern`
    "n:m" keeps at most n of each m consecutive weights of a neuron, "axb" removes whole tiles of a pre and b post
    neurons; obc and osbc know patterns. `operation_weight` (0 to 1; obc and osbc too) makes synapses of neurons that
    fire often go sooner: less work for the hardware, at some cost in accuracy. `distil` ends osbc by training towards
    the original network on the calibration samples. `activity_threshold` first removes the hidden neurons that fire
    less than so many spikes per step on the samples (`prune_neurons`), and the rest is said of what remains.
    `overrides` holds what differs for the weights into a population, by its name. `exact` chooses exact elimination
    whatever it costs in time, `memory_budget` is in bytes, `device` torch's; magnitude needs none of them.

    Raises OptionError for values out of range and for pairs that make no sense.
    """

    method: str = "magnitude"
    sparsity: float = 0.0
    bits: int | None = 8
    scheme: str = "fixed_point"
    scope: Literal["global", "layer"] = "global"
    operation_weight: float = 0.0
    pattern: str | None = None
    distil: bool = True
    activity_threshold: float = 0.0
    overrides: Mapping[str, Override] = field(default_factory=dict)
    exact: bool = False
    memory_budget: int = 4 << 30
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise OptionError(f"a compression method is one of {', '.join(METHODS)}: got {quoted(self.method)}")
        check_sparsity(self.sparsity)
        check_scheme(self.scheme)
        if self.bits is not None:
            Format(self.bits, self.scheme)
        elif (only := ONLY_BITS.get(self.scheme)) is not None:
            raise OptionError(f"{self.scheme} weights are integers: got no bits; set bits to {only}")
        if self.scope not in SCOPES:
            raise OptionError(f"a pruning scope is {' or '.join(SCOPES)}: got {quoted(self.scope)}")
        check_pattern(self.pattern)
        if self.pattern is not None and self.method not in ("obc", "osbc"):
            raise OptionError(f"patterns are pruned by obc and osbc: got {quoted(self.method)} with {self.pattern}")
        check_operation_weight(self.operation_weight, self.method)
        prunes = self.sparsity or self.pattern or any(o.sparsity for o in self.overrides.values())
        if self.operation_weight and not prunes:
            raise OptionError(
                f"an operation weight says what to prune: got {quoted(self.operation_weight)} without sparsity; set one"
            )
        check_threshold("activity_threshold", self.activity_threshold)
        if isinstance(self.memory_budget, bool) or not isinstance(self.memory_budget, int) or self.memory_budget < 1:
            raise OptionError(f"a memory budget is a number of bytes, 1 or more: got {quoted(self.memory_budget)}")
        for override in self.overrides.values():
            override.format_beside(self.bits, self.scheme)

    @property
    def changes_nothing(self) -> bool:
        """Whether a float network would come back as it is."""
        targets: list[Recipe | Override] = [self, *self.overrides.values()]
        structure = self.pattern is not None or self.activity_threshold > 0
        return not structure and all(
            not t.sparsity and t.bits is None and t.scheme in (None, "fixed_point") for t in targets
        )


def default_method(calibrated: bool) -> str:
    """The method where none is chosen: OSBC with calibration samples and torch, else magnitude, with a warning."""
    if not calibrated:
        reason = "there are no calibration samples"
    elif find_spec("torch") is None:
        reason = "torch is not installed (pip install 'spikeloom[torch]')"
    else:
        return "osbc"
    warnings.warn(f"weights are compressed by magnitude, as {reason}; OSBC keeps more of the accuracy", stacklevel=3)
    return "magnitude"


def check_pattern(pattern: object) -> None:
    """OptionError for what is no pattern of pruning."""
    if pattern is None:
        return
    found = re.fullmatch(r"([0-9]{1,6})([:x])([0-9]{1,6})", pattern) if isinstance(pattern, str) else None
    first, mark, second = (0, "", 0) if found is None else (int(found[1]), found[2], int(found[3]))
    if not (0 < first < second if mark == ":" else min(first, second) > 0):
        raise OptionError(f"a pattern is n:m with 0 < n < m, or axb for tiles, such as 2:4: got {quoted(pattern)}")


@dataclass(frozen=True, kw_only=True)
class ProjectionReport:
    """One projection: its weights, how many were not zero before and are not zero now, and their bits and scheme.

    `bits` and `scheme` are None where weights are float.
    """

    pre: str
    post: str
    weights: int
    synapses_before: int
    synapses: int
    bits: int | None = None
    scheme: str | None = None


@dataclass(frozen=True, kw_only=True)
class CompressionReport:
    """What compression did.

    `removed` counts the neurons by population that were removed, `silenced` lists those that lost their last input
    synapse (numbered as they are now), `silent` the populations that do not fire on the calibration samples. `losses`
    are `membrane_losses` by population, `errors` how far the synapses and neurons of an integer network are from the
    original ones; each is empty where there is nothing to measure. `seconds` is the time that it took.
    """

    recipe: Recipe
    projections: tuple[ProjectionReport, ...]
    errors: tuple[PopulationError, ...]
    removed: dict[str, int]
    silenced: dict[str, tuple[int, ...]]
    silent: tuple[str, ...]
    losses: dict[str, float]
    seconds: float

    @property
    def sparsity(self) -> float:
        """The share of weights that are zero: the pruned ones, and small ones that rounded to zero."""
        return 1.0 - sum(p.synapses for p in self.projections) / sum(p.weights for p in self.projections)


def compress(
    network: Network,
    recipe: Recipe,
    calibration: npt.NDArray[Any] | None = None,
    *,
    finetune: FineTune | None = None,
    progress: Progress | None = None,
) -> tuple[Network, CompressionReport]:
    """Compress a float network by a recipe; returns the network, integer where the recipe has bits, and a report.

    `calibration` are input samples, integers [samples, steps, inputs...]; every method but magnitude needs them.
    With `finetune` the remaining weights are trained further, the zeros held. Weights that are zero stay zero, so that
    compressing again keeps what was gained. Warns of layers and neurons that fall silent.

    Raises ModelError for an integer network, OptionError for a recipe that changes nothing or does not suit the
    network, SampleError for samples that are missing, do not suit the network or hold no spike.
    """
    started = time.monotonic()
    _check(network, recipe, calibration)
    sources = None if calibration is None else _observed(network, calibration)
    silent = () if sources is None else _silent(network, sources)
    whole = network
    if calibration is not None and sources is not None and recipe.activity_threshold > 0:
        rates = [spikes.mean(axis=(0, 1), dtype=np.float64) for spikes in sources.values()]
        network, _ = prune_neurons(network, recipe.activity_threshold, spike_rates=rates)
        sources = _observed(network, calibration)
    _warn_of_zeros(network, recipe)
    compressed = _compressed(network, recipe, calibration, finetune, progress)
    warn_of_silenced(network, compressed)
    return compressed, CompressionReport(
        recipe=recipe,
        projections=_projection_reports(whole, compressed, _formats(network, recipe) or {}),
        errors=quantisation_error(_like(network, compressed), compressed) if compressed.is_integer else (),
        removed={p.name: whole.size_of(p.name) - p.size for p in network.populations if p.size < whole.size_of(p.name)},
        silenced=silenced(network, compressed),
        silent=silent,
        losses={} if sources is None else membrane_losses(network, compressed, sources),
        seconds=time.monotonic() - started,
    )


# ------------------------------------------------------------------------------------------------------- checks


def _check(network: Network, recipe: Recipe, calibration: npt.NDArray[Any] | None) -> None:
    verify(network)
    if network.is_integer:
        raise ModelError(
            f"compression starts from float weights: {quoted(network.name)} is quantised already; use it as it is"
        )
    if recipe.changes_nothing:
        raise OptionError("compression has a target, sparsity, bits or a structure: none is given; set one")
    if calibration is None and recipe.method in CALIBRATED:
        raise SampleError(
            f"{recipe.method} compression needs calibration samples: none are given; magnitude needs none"
        )
    if calibration is None and recipe.activity_threshold > 0:
        raise SampleError("quiet neurons are found on calibration samples: none are given; give some")
    _check_overrides(network, recipe)


def _check_torch(recipe: Recipe) -> None:
    """OptionError where torch or its device is missing."""
    if find_spec("torch") is None:
        raise OptionError(
            f"{recipe.method} compression computes with torch, which is not installed: pip install 'spikeloom[torch]', "
            "or choose the method magnitude"
        )
    import torch

    try:
        torch.empty(1, device=recipe.device)
    except (RuntimeError, AssertionError, TypeError) as error:  # torch's words for a device that is unknown or absent
        reason = str(error).splitlines()[0][:100]
        raise OptionError(
            f"a torch device is one that torch can use here: {quoted(recipe.device)} is not ({reason}); use cpu"
        ) from None


def _check_overrides(network: Network, recipe: Recipe) -> None:
    names = [p.name for p in network.populations]
    for name in recipe.overrides:
        if name not in names:
            near = get_close_matches(str(name), names)
            known = ", ".join(map(quoted, names[:LISTED])) + (", ..." if len(names) > LISTED else "")
            hint = f"did you mean {' or '.join(map(quoted, near))}?" if near else f"the network has {known}"
            raise OptionError(f"a layer is named by its population: there is none named {quoted(name)}; {hint}")


def _observed(network: Network, calibration: npt.NDArray[Any]) -> dict[str, Spikes]:
    """What the network's neurons do on the samples; SampleError for samples that do not suit or hold no spike."""
    inputs = calibration_inputs(network, calibration)
    if not inputs.any():
        raise SampleError("calibration samples hold spikes: these hold none; give the inputs that the network will see")
    return observe(network, [fold(network, population) for population in network.populations], inputs)


def _silent(network: Network, sources: Mapping[str, Spikes]) -> tuple[str, ...]:
    """The populations that could fire and do not, with a warning for each."""
    names = [p.name for p in network.populations if not isinstance(p.dynamics, LI) and not sources[p.name].any()]
    for name in names:
        warnings.warn(
            f"population {quoted(name)} never fires on the calibration samples: what follows it is compressed blindly; "
            "calibrate with samples that drive it",
            stacklevel=3,
        )
    return tuple(names)


def _warn_of_zeros(network: Network, recipe: Recipe) -> None:
    """Say so where a network has more zeros already than it is to have."""
    zeros = 1 - sum(_synapses(p.weights) for p in network.projections) / sum(_weights(p) for p in network.projections)
    if zeros >= recipe.sparsity > 0:
        warnings.warn(
            f"{zeros:.2%} of the weights of {quoted(network.name)} are zero already: a sparsity of {recipe.sparsity:g} "
            "prunes nothing more; raise it to prune",
            stacklevel=3,
        )


# -------------------------------------------------------------------------------------------------------- steps


def _compressed(
    network: Network,
    recipe: Recipe,
    calibration: npt.NDArray[Any] | None,
    finetune: FineTune | None,
    progress: Progress | None,
) -> Network:
    sparsities, formats = _sparsities(recipe), _formats(network, recipe)
    if recipe.method == "magnitude" and finetune is None:  # needs neither samples nor torch
        shares = shares_of([p.name for p in network.populations], recipe.sparsity, sparsities, recipe.scope)
        masked = pruned(network, shares)
        return masked if formats is None else quantised(masked, formats, calibration)
    if calibration is None:
        raise SampleError("fine-tuning needs calibration samples: none are given; give some")
    _check_torch(recipe)
    from .one_shot import compress_weights

    return compress_weights(
        network,
        method=recipe.method,
        sparsity=recipe.sparsity,
        sparsities=sparsities,
        bits=None if formats is None else {name: form.bits for name, form in formats.items()},
        scheme={} if formats is None else {name: form.scheme for name, form in formats.items()},
        calibration=calibration,
        scope=recipe.scope,
        operation_weight=recipe.operation_weight,
        pattern=recipe.pattern,
        device=recipe.device,
        memory_budget=recipe.memory_budget,
        exact=recipe.exact,
        distil=None if recipe.distil else FineTune(epochs=0),
        finetune=finetune,
        progress=progress,
    )


def _sparsities(recipe: Recipe) -> dict[str, float]:
    """The populations with a sparsity of their own."""
    return {name: o.sparsity for name, o in recipe.overrides.items() if o.sparsity is not None}


def _formats(network: Network, recipe: Recipe) -> dict[str, Format] | None:
    """The format of the weights into each population; None for float weights. OptionError where some are float."""
    formats = {
        p.name: recipe.overrides.get(p.name, Override()).format_beside(recipe.bits, recipe.scheme)
        for p in network.populations
    }
    whole = {name: form for name, form in formats.items() if form is not None}
    if whole and len(whole) < len(formats):
        missing = next(name for name in formats if name not in whole)
        raise OptionError(f"bits are given for all weights or for none: those into {quoted(missing)} have none")
    return whole or None


def _like(network: Network, compressed: Network) -> Network:
    """The network without the synapses that compression removed."""
    masked = []
    for before, after in zip(network.projections, compressed.projections, strict=True):
        assert isinstance(after.weights, Quantised) and not isinstance(before.weights, Quantised)
        masked.append(
            replace(before, connectivity=Dense(weights=np.where(after.weights.codes != 0, before.weights, 0)))
        )
    return replace(network, projections=tuple(masked))


def _projection_reports(
    network: Network, compressed: Network, formats: Mapping[str, Format]
) -> tuple[ProjectionReport, ...]:
    return tuple(
        ProjectionReport(
            pre=before.pre,
            post=before.post,
            weights=_weights(before),
            synapses_before=_synapses(before.weights),
            synapses=_synapses(after.weights),
            bits=formats[before.post].bits if before.post in formats else None,
            scheme=formats[before.post].scheme if before.post in formats else None,
        )
        for before, after in zip(network.projections, compressed.projections, strict=True)
    )


def _weights(projection: Projection) -> int:
    return math.prod(projection.weights.shape)


def _synapses(weights: npt.NDArray[np.float64] | Quantised) -> int:
    return int(np.count_nonzero(weights.codes if isinstance(weights, Quantised) else weights))
