"""Which synapses of an engine act when: within the step, in the next one without being kept, or later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from ..ir.arrays import IntArray
from ..ir.network import INPUT, Network


class Way(Enum):
    """How the spikes of synapses reach their post neurons.

    - `NOW`: in the step in which they are fired
    - `RETURNS`: inside an engine, to neurons whose pass is over, so that they count in the next step
    - `LATE`: kept until the step in which they are due
    """

    NOW = auto()
    RETURNS = auto()
    LATE = auto()


@dataclass(frozen=True, eq=False, kw_only=True)
class Synapses:
    """The synapses of one projection that share a delay: `codes` [pre, post], their width, shift, and way."""

    pre: str
    post: str
    delay: int
    codes: IntArray
    bits: int
    shift: int
    way: Way


class Heard:
    """What an engine of the populations `names` hears, and when. With `returns` its spikes can return inside it."""

    def __init__(self, network: Network, names: Sequence[str], *, returns: bool) -> None:
        self.network = network
        self.names = tuple(names)
        self._returns = returns
        self.synapses = tuple(self._synapses())

    def _synapses(self) -> list[Synapses]:
        """Apart by delay; of a step edge only those that are there."""
        return [
            Synapses(
                pre=p.pre,
                post=p.post,
                delay=delay,
                codes=codes,
                bits=p.connectivity.quantised.bits,
                shift=p.shift,
                way=self._way(p.pre, p.post, delay),
            )
            for p in self.network.projections
            if p.post in self.names
            for delay, codes in p.connectivity.by_delay(p.delay, p.connectivity.codes)
            if not p.step_edge or codes.any()
        ]

    def _way(self, pre: str, post: str, delay: int) -> Way:
        if not delay:
            return Way.NOW
        inside = self._returns and pre in self.names and self.names.index(post) <= self.names.index(pre)
        return Way.RETURNS if inside and delay == 1 else Way.LATE

    def going(self, way: Way) -> list[Synapses]:
        """Those that go one way."""
        return [synapses for synapses in self.synapses if synapses.way is way]

    @property
    def returning(self) -> tuple[str, ...]:
        """The engine's populations whose spikes return."""
        found = {synapses.pre for synapses in self.going(Way.RETURNS)}
        return tuple(name for name in self.names if name in found)

    @property
    def waiting(self) -> tuple[int, ...]:
        """The numbers of those whose spikes return to themselves, and wait until their pass is over."""
        found = {s.pre for s in self.going(Way.RETURNS) if s.pre == s.post}
        return tuple(number for number, name in enumerate(self.names) if name in found)

    @property
    def own(self) -> tuple[str, ...]:
        """The engine's populations whose neurons have rows in it: all but the last, which has where its spikes
        return."""
        return self.names if self.names[-1] in self.returning else self.names[:-1]

    @property
    def sources(self) -> tuple[str, ...]:
        """Whom it listens to within the step: `INPUT` and populations of other engines, each once."""
        found = {synapses.pre for synapses in self.going(Way.NOW)}
        everyone = [INPUT, *(population.name for population in self.network.populations)]
        return tuple(name for name in everyone if name in found and name not in self.names)
