"""One compression as it is carried out: a network, and what its recipe says of each of its populations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from ...hdl.errors import ModelError, OptionError, quoted
from ..ir.network import Network
from ..ir.verifier import verify
from .allocation import Share, shares_of
from .grid import Format
from .hessian import Loss
from .recipe import Override, Recipe, pattern_of

LISTED = 10
"""How many populations an error message names at most."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A float network and its recipe, by population: who loses what share, and the formats (None for float weights).

    `groups` (n, m) and `tile` (pre, post) are the recipe's pattern.
    """

    network: Network
    recipe: Recipe
    shares: Sequence[Share]
    formats: Mapping[str, Format] | None
    groups: tuple[int, int] | None
    tile: tuple[int, int] | None

    @classmethod
    def of(cls, network: Network, recipe: Recipe) -> Job:
        """The job. ModelError for an integer network, OptionError for a recipe that does not suit the network."""
        verify(network)
        if network.is_integer:
            raise ModelError(
                f"compression starts from float weights: {quoted(network.name)} is quantised already; use it as it is"
            )
        names = [p.name for p in network.populations]
        _check_overrides(names, recipe)
        own = {name: o.sparsity for name, o in recipe.overrides.items() if o.sparsity is not None}
        groups, tile = pattern_of(recipe.pattern)
        return cls(
            network=network,
            recipe=recipe,
            shares=shares_of(names, recipe.sparsity, own, recipe.scope),
            formats=_formats(names, recipe),
            groups=groups,
            tile=tile,
        )

    def relaxed(self, surplus: float) -> Job:
        """The job that leaves real weights and so many times the synapses; patterns leave no choice."""
        if surplus == 1 or self.groups is not None or self.tile is not None:
            return replace(self, formats=None)
        shares = [replace(s, sparsity=max(0.0, 1 - surplus * (1 - s.sparsity))) for s in self.shares]
        return replace(self, shares=shares, formats=None)

    @property
    def loss(self) -> Loss:
        return Loss.CURRENT if self.recipe.method == "obc" else Loss.MEMBRANE


def _check_overrides(names: Sequence[str], recipe: Recipe) -> None:
    for name in recipe.overrides:
        if name not in names:
            near = get_close_matches(str(name), names)
            known = ", ".join(map(quoted, names[:LISTED])) + (", ..." if len(names) > LISTED else "")
            hint = f"did you mean {' or '.join(map(quoted, near))}?" if near else f"the network has {known}"
            raise OptionError(f"a layer is named by its population: there is none named {quoted(name)}; {hint}")


def _formats(names: Sequence[str], recipe: Recipe) -> dict[str, Format] | None:
    """The format of the weights into each population; None for float weights. OptionError where some are float."""
    formats = {name: recipe.overrides.get(name, Override()).format_beside(recipe.bits, recipe.scheme) for name in names}
    whole = {name: form for name, form in formats.items() if form is not None}
    if whole and len(whole) < len(formats):
        missing = next(name for name in formats if name not in whole)
        raise OptionError(f"bits are given for all weights or for none: those into {quoted(missing)} have none")
    return whole or None
