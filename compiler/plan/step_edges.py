"""Which synapses of an engine act when: within the step, in the next one without being kept, or later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from ..ir.arrays import IntArray
from ..ir.connectivity import BoolArray, Connectivity
from ..ir.network import INPUT, Network, Projection


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
    """The synapses of one projection that share a delay: `codes` in the form of their connectivity, width, shift, way.

    `acting` [pre] are the neurons whose spikes they take. `projection` is its number in the network.
    """

    projection: int
    pre: str
    post: str
    delay: int
    connectivity: Connectivity
    codes: IntArray
    acting: BoolArray
    bits: int
    shift: int
    way: Way

    @property
    def are_shared(self) -> bool:
        """Whether they share weights: those of a map."""
        return not self.connectivity.one_per_pair


@dataclass(frozen=True, eq=False, kw_only=True)
class Late:
    """What an engine hears later of one stream: that of `pres`, populations that follow one another or the input.

    `delays` [neuron] are those after which each neuron's spikes are due, each of which has a row of weights. It is
    `inner` where the stream is that of an engine's own neurons, not only of its last population's.
    """

    pres: tuple[str, ...]
    inner: bool
    delays: tuple[tuple[int, ...], ...]

    @property
    def rows(self) -> int:
        return sum(map(len, self.delays))

    @property
    def longest(self) -> int:
        """The longest delay, in steps."""
        return max(map(max, self.delays))


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
                projection=number,
                pre=p.pre,
                post=p.post,
                delay=delay,
                connectivity=p.connectivity,
                codes=codes,
                acting=acting,
                bits=p.connectivity.quantised.bits,
                shift=p.shift,
                way=self._way(p, delay),
            )
            for number, p in enumerate(self.network.projections)
            if p.post in self.names
            for delay, codes, acting in _by_delay(p)
            if not p.step_edge or codes.any()
        ]

    def _way(self, projection: Projection, delay: int) -> Way:
        """Spikes that are pooled by maxima never return: what is pooled of a step is all there before its end."""
        if not delay:
            return Way.NOW
        inside = self._returns and projection.connectivity.is_linear and self._leads_back(projection)
        return Way.RETURNS if inside and delay == 1 else Way.LATE

    def _leads_back(self, projection: Projection) -> bool:
        pre, post = projection.pre, projection.post
        return pre in self.names and self.names.index(post) <= self.names.index(pre)

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
        return; where some are heard later, only as far as the last one that is heard otherwise."""
        if self.names[-1] in self.returning:
            return self.names
        if not self._keeps_own:
            return self.names[:-1]
        heard = {synapses.pre for synapses in self.synapses if synapses.way is not Way.LATE}
        return self.names[
            : max((number for number, name in enumerate(self.names, start=1) if name in heard), default=0)
        ]

    @property
    def steers(self) -> bool:
        """Whether its spikes do not just walk where they are of one population and leave where of the last."""
        return bool(self.returning) or (self._keeps_own and self.own != self.names[:-1])

    @property
    def _keeps_own(self) -> bool:
        return any(synapses.pre in self.names for synapses in self.going(Way.LATE))

    @property
    def sources(self) -> tuple[str, ...]:
        """Whom it listens to within the step: `INPUT` and populations of other engines, each once."""
        found = {synapses.pre for synapses in self.going(Way.NOW)} - set(self.names)
        if not found and not self.going(Way.LATE):
            found = {INPUT}  # an engine that nobody leads to follows the steps, too
        everyone = [INPUT, *(population.name for population in self.network.populations)]
        return tuple(name for name in everyone if name in found)

    @property
    def hears_input(self) -> bool:
        """Whether the core's input leads to it: within the step, later, or for its steps alone."""
        return INPUT in self.sources or not self.sources or any(INPUT in late.pres for late in self.late)

    @property
    def late(self) -> tuple[Late, ...]:
        """What it hears later, stream by stream."""
        late = {synapses.pre for synapses in self.going(Way.LATE)}
        everyone = [INPUT, *(population.name for population in self.network.populations)]
        others = [self._late((name,), inner=False) for name in everyone if name in late and name not in self.names]
        own = [number for number, name in enumerate(self.names) if name in late]
        if own:
            pres = self.names[own[0] : own[-1] + 1]
            others.append(self._late(pres, inner=pres != self.names[-1:]))
        return tuple(others)

    def _late(self, pres: tuple[str, ...], *, inner: bool) -> Late:
        """A neuron without such synapses has the shortest delay that there is, for a row without entries."""
        going = [synapses for synapses in self.going(Way.LATE) if synapses.pre in pres]
        shortest = min(synapses.delay for synapses in going)
        delays = []
        for pre in pres:
            due: list[set[int]] = [set() for _ in range(self.network.size_of(pre))]
            for synapses in going:
                if synapses.pre == pre:
                    for neuron in np.flatnonzero(synapses.acting):
                        due[neuron].add(synapses.delay)
            delays += [tuple(sorted(found)) or (shortest,) for found in due]
        return Late(pres=pres, inner=inner, delays=tuple(delays))


def _by_delay(projection: Projection) -> Iterator[tuple[int, IntArray, BoolArray]]:
    """The codes of a projection apart by delay, and the neurons whose spikes they take after it."""
    connectivity = projection.connectivity
    if connectivity.one_per_pair:
        for delay, codes in connectivity.by_delay(projection.delay, connectivity.codes):
            yield delay, codes, np.asarray(codes.any(axis=1))
        return
    delays = np.broadcast_to(projection.delay, connectivity.shape[:1])
    for delay in np.unique(delays).tolist():
        yield delay, connectivity.codes, delays == delay
