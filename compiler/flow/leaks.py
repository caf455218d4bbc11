"""What leaks of single neurons cost a design, told with what would spare it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...hdl.errors import listed, quoted
from ...hdl.resources import Resources
from ..estimate.estimate import estimate
from ..ir.network import Network, Population
from ..ir.neurons import Decay, IntegerDynamics
from ..plan.plan import Plan, make_plan

_DECAYS = ("decay", "decay_syn", "decay_a")


def leak_warning(plan: Plan, device: str | None) -> str | None:
    """A line on the populations of a plan whose neurons have leaks of their own; None where there is none.

    The cost is the difference between two estimates of the core: as it is, and with one leak for each population.
    """
    apart = [p.name for p in plan.network.populations if _apart(p)]
    if not apart:
        return None
    shared = make_plan(_shared(plan.network), plan.family, plan.folding, headroom=plan.headroom)
    as_is, less = (estimate(each, device=device).resources for each in (plan, shared))
    return (
        f"the neurons of {listed(apart, quoted)} have leaks of their own, which takes about {_text(as_is, less)} more "
        "than one leak for all of a population; compress with --shared-leaks to spare that"
    )


def _apart(population: Population) -> tuple[str, ...]:
    """The leaks that are not the same for all neurons, by their fields."""
    found = ((name, getattr(population.dynamics, name)) for name in _DECAYS)
    return tuple(name for name, decay in found if isinstance(decay, Decay) and np.ptp(decay.c) > 0)


def _shared(network: Network) -> Network:
    return replace(network, populations=tuple(map(_with_one, network.populations)))


def _with_one(population: Population) -> Population:
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    means = {}
    for name in _apart(population):
        decay = getattr(dynamics, name)
        means[name] = replace(decay, c=np.array(round(float(np.mean(decay.c)))))
    return replace(population, dynamics=replace(dynamics, **means)) if means else population


def _text(as_is: Resources, less: Resources) -> str:
    names = {"lcs": "logic cells", "brams": "block RAMs", "dsps": "multipliers"}
    more = {words: getattr(as_is, name) - getattr(less, name) for name, words in names.items()}
    return ", ".join(f"{count} {words}" for words, count in more.items() if count > 0) or "nothing"
