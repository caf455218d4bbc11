"""What a compression is to do: a `Recipe` names the method and its targets, an `Override` what differs in places."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Literal

from ...hdl.errors import OptionError, installing, quoted
from ..ir.network import Network, Projection
from ..names import FITTED, KEEP, METHODS, SCOPES
from .allocation import check_operation_weight
from .grid import ONLY_BITS, Format, check_scheme
from .magnitude import check_sparsity
from .pruning import check_threshold


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
    `shared_leaks` gives the neurons of a population one leak, the mean of theirs (`share_leaks`).
    `overrides` holds what differs for the weights into a population, by its name. `exact` chooses exact elimination
    whatever it costs in time, `memory_budget` is in bytes, `device` torch's; magnitude needs none of them.

    The method "keep" changes no weight: those of quantisation-aware training, which lie on a grid of `bits` at most,
    become its codes (`kept`).

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
    shared_leaks: bool = False
    overrides: Mapping[str, Override] = field(default_factory=dict)
    exact: bool = False
    memory_budget: int = 4 << 30
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.method not in (*METHODS, KEEP):
            known = ", ".join((*METHODS, KEEP))
            raise OptionError(f"a compression method is one of {known}: got {quoted(self.method)}")
        check_sparsity(self.sparsity)
        check_scheme(self.scheme)
        if self.bits is not None:
            Format(self.bits, self.scheme)
        elif (only := ONLY_BITS.get(self.scheme)) is not None:
            raise OptionError(f"{self.scheme} weights are integers: got no bits; set bits to {only}")
        if self.scope not in SCOPES:
            raise OptionError(f"a pruning scope is {' or '.join(SCOPES)}: got {quoted(self.scope)}")
        pattern_of(self.pattern)
        if self.pattern is not None and self.method not in FITTED:
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
        if self.method == KEEP:
            self._require_nothing_else()

    def _require_nothing_else(self) -> None:
        """OptionError where weights that are to be kept are to be changed too."""
        changes = self.sparsity or self.pattern or self.overrides or self.activity_threshold
        if changes or self.scheme != "fixed_point" or self.bits is None:
            raise OptionError(
                f"{KEEP} takes all weights as they are, at most as wide as `bits`: got a recipe that changes them; "
                "leave the rest out, or choose another method"
            )

    @property
    def changes_nothing(self) -> bool:
        """Whether a float network would come back as it is."""
        targets: list[Recipe | Override] = [self, *self.overrides.values()]
        structure = self.pattern is not None or self.activity_threshold > 0 or self.shared_leaks
        return not structure and all(
            not t.sparsity and t.bits is None and t.scheme in (None, "fixed_point") for t in targets
        )


def default_method(network: Network, *, calibrated: bool) -> str:
    """The method where none is chosen: OSBC with calibration samples and torch, of networks that it can fit, else
    magnitude, with a warning."""
    if not calibrated:
        reason = "there are no calibration samples; OSBC keeps more of the accuracy"
    elif find_spec("torch") is None:
        reason = f"torch is not installed ({installing('torch')}); OSBC keeps more of the accuracy"
    else:
        unfitted = next(filter(None, map(_unfitted, network.projections)), None)
        if unfitted is None:
            return "osbc"
        reason = f"OSBC fits no network in which {unfitted}"
    warnings.warn(f"weights are compressed by magnitude, as {reason}", stacklevel=3)
    return "magnitude"


def _unfitted(projection: Projection) -> str | None:
    """Why weights cannot be fitted to samples (`view.View`), if they cannot."""
    arrow = f"{quoted(projection.pre)} -> {quoted(projection.post)}"
    if projection.connectivity.pools_sums:
        return f"sums are pooled, as those of {arrow} are"
    if len(projection.connectivity.alike()) > 1:
        return f"weights see unlike inputs, as those of {arrow} do"
    return None


def pattern_of(pattern: object) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """The groups (n, m) or the tile (pre, post) of a pattern's text; OptionError for what is no pattern of pruning."""
    if pattern is None:
        return None, None
    found = re.fullmatch(r"([0-9]{1,6})([:x])([0-9]{1,6})", pattern) if isinstance(pattern, str) else None
    first, mark, second = (0, "", 0) if found is None else (int(found[1]), found[2], int(found[3]))
    if not (0 < first < second if mark == ":" else min(first, second) > 0):
        raise OptionError(f"a pattern is n:m with 0 < n < m, or axb for tiles, such as 2:4: got {quoted(pattern)}")
    return ((first, second), None) if mark == ":" else (None, (first, second))
