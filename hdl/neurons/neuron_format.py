"""Sizes, widths and rules of an engine's neurons."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from amaranth.hdl import signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from ..memories.memory import LOGIC_ROM_LUTS, Family, MemoryShape, read_only
from ..streams.tokens import address_bits, token_layout
from .decay import DecayFormat
from .readout import membrane_layout


@dataclass(frozen=True, kw_only=True)
class CurrentRule:
    """Synaptic currents: g = sat(decay(g) + I) in every step; it saturates unless a proof excludes that it ever does.

    The membrane is driven by the new g, or by that of the step before where it `drives_later`.
    """

    decay: DecayFormat
    saturates: bool
    drives_later: bool


@dataclass(frozen=True, kw_only=True)
class AdaptationRule:
    """A threshold that adapts: it is higher by a = sat(decay(a) + jump after a spike), of the parameter `jump`; a
    saturates unless a proof excludes that it ever does. What a spike subtracts is as much higher."""

    decay: DecayFormat
    saturates: bool


@dataclass(frozen=True, kw_only=True)
class NeuronRule:
    """What a population's neurons do at the end of a step. V and g have `state_bits`. V saturates unless a proof
    excludes that it ever does; where it `has_floor`, it is the parameter `v_min` at least after that. Without a
    `current` what comes in drives the membrane itself; without `adaptation` thresholds are fixed. A neuron fires up to
    `most_spikes` times in a step (several only by reset `same`, subtract); where it is `limited` it could more often
    but for that."""

    state_bits: int
    saturates: bool
    fires: bool
    has_sub: bool
    reset_mode: Literal["subtract", "value"]
    reset_place: Literal["same", "next", "snntorch_same"]
    decay: DecayFormat | None
    has_floor: bool = False
    current: CurrentRule | None = None
    adaptation: AdaptationRule | None = None
    most_spikes: int = 1
    limited: bool = False

    @property
    def repeats(self) -> bool:
        """Whether a neuron may fire several times in a step."""
        return self.most_spikes > 1

    @property
    def remembers_firing(self) -> bool:
        """Whether the state word carries V > fire into the next step (the r of `snntorch_same`)."""
        return self.fires and self.reset_place == "snntorch_same"


@dataclass(frozen=True, kw_only=True)
class PopulationFormat:
    """One population of an engine: contributions are shifted left by `shift` into membrane units.

    The spikes of one that `returns` come back as contributions to neurons whose pass is over, for the next step. Where
    its neurons share parameter words, as those of a channel do, they take `shared` of them in turn: a power of two,
    of which the number of the first neuron is a multiple.
    """

    neurons: int
    shift: int
    rule: NeuronRule
    returns: bool = False
    shared: int | None = None

    @property
    def parameter_words(self) -> int:
        """How many its neurons have between them."""
        return self.neurons if self.shared is None else self.shared

    @property
    def monitor(self) -> wiring.Signature:
        """What shows its neurons."""
        return trace_signature(self.neurons, self.rule.state_bits, self.rule.most_spikes.bit_length())


@dataclass(frozen=True, kw_only=True)
class NeuronFormat:
    """Sizes, widths and rules of an engine's populations; the values of their parameters are not part of it.

    Neurons are numbered through all populations, in order. `accumulator_bits` must hold every sum inside a step: what
    the membrane starts from and the contributions; where a population `has_currents`, of all of them what the current
    starts from, the bias and the contributions, and `start_bits` then what the membrane starts from. A parameter field
    of 0 bits is a parameter that is 0 for every neuron; those in `unsigned` are never negative. `sub_delta_bits` holds
    sub - fire, `c_syn_bits` the leak of the currents, `jump_bits` and `c_a_bits` what thresholds adapt by, of which
    `adaptation_bits` hold every a. With `overlaps` no input reaches the last of several populations,
    so that the next step's input may be integrated during its pass. One that `skips` leaves a population's pass out
    where it would change nothing. One with `touched` visits in a step's pass, of every so many neurons that follow one
    another (a power of two, of which there is a whole number), only those where one got a contribution or fired in the
    last pass, as it would change nothing of the others. One that `lists` visits takes those of its first population one
    by one from a list. One that `gives_membranes` gives those of the last population to its output, in place of spikes.
    One that is `fast` has more registers on its way (`FastBank`). Where the `floor_is_sub`, every floor is what a spike
    subtracts, negative, and is no field. `logic_luts` is as in MemoryShape.
    """

    populations: tuple[PopulationFormat, ...]
    weight_bits: int
    accumulator_bits: int
    fire_bits: int
    sub_delta_bits: int
    v_reset_bits: int
    bias_bits: int
    c_bits: int
    v_min_bits: int = 0
    c_syn_bits: int = 0
    jump_bits: int = 0
    c_a_bits: int = 0
    adaptation_bits: int = 0
    start_bits: int = 0
    unsigned: frozenset[str] = frozenset({"c", "c_syn", "c_a"})
    overlaps: bool = False
    skips: bool = False
    touched: int = 0
    lists: bool = False
    gives_membranes: bool = False
    fast: bool = False
    floor_is_sub: bool = False
    logic_luts: int = LOGIC_ROM_LUTS

    @property
    def neurons(self) -> int:
        return sum(population.neurons for population in self.populations)

    @property
    def returns(self) -> bool:
        """Whether spikes of any population return."""
        return any(population.returns for population in self.populations)

    @property
    def last_returns(self) -> bool:
        """Whether those of the last one do, so that its pass, too, sets off contributions."""
        return self.populations[-1].returns

    @property
    def shared(self) -> bool:
        """Whether contributions come between two neurons of a pass, or between two passes."""
        return len(self.populations) > 1 or self.returns

    @property
    def output_layout(self) -> data.StructLayout:
        """The payload of the output over all neurons: tokens, or what `gives_membranes`."""
        return self.layout_of(self.neurons)

    def layout_of(self, addresses: int) -> data.StructLayout:
        """The same over so many neurons."""
        if self.gives_membranes:
            return membrane_layout(addresses, self.populations[-1].rule.state_bits)
        return token_layout(addresses)

    @property
    def bases(self) -> tuple[int, ...]:
        """The first neuron of each population."""
        return tuple(accumulate((p.neurons for p in self.populations[:-1]), initial=0))

    @property
    def ends(self) -> tuple[int, ...]:
        """The neuron after the last of each population."""
        return (*self.bases[1:], self.neurons)

    @property
    def state_bits(self) -> int:
        """The width of the widest membrane."""
        return max(population.rule.state_bits for population in self.populations)

    @property
    def remembers_firing(self) -> bool:
        return any(population.rule.remembers_firing for population in self.populations)

    @property
    def repeats(self) -> bool:
        """Whether neurons of any population may fire several times in a step."""
        return any(population.rule.repeats for population in self.populations)

    @property
    def spike_bits(self) -> int:
        """The width of how often a neuron fires in a step."""
        return max(population.rule.most_spikes for population in self.populations).bit_length()

    @property
    def has_floor(self) -> bool:
        return any(population.rule.has_floor for population in self.populations)

    @property
    def has_currents(self) -> bool:
        return any(population.rule.current is not None for population in self.populations)

    @property
    def has_adaptation(self) -> bool:
        return any(population.rule.adaptation is not None for population in self.populations)

    @property
    def parameter_fields(self) -> tuple[tuple[str, int], ...]:
        """(name, width) of each field of a parameter word, low bits first; a floor, a leak of currents and what
        thresholds adapt by only where a population has them."""
        fields = (
            ("fire", self.fire_bits),
            ("sub_delta", self.sub_delta_bits),
            ("v_reset", self.v_reset_bits),
            ("bias", self.bias_bits),
            ("c", self.c_bits),
        )
        floor = (("v_min", self.v_min_bits),) if self.has_floor and not self.floor_is_sub else ()
        current = (("c_syn", self.c_syn_bits),) if self.has_currents else ()
        adaptation = (("jump", self.jump_bits), ("c_a", self.c_a_bits)) if self.has_adaptation else ()
        return (*fields, *floor, *current, *adaptation)

    @property
    def parameter_bits(self) -> int:
        return sum(width for _, width in self.parameter_fields)

    @property
    def membrane_start_bits(self) -> int:
        """Of a state word, those that the membrane starts from."""
        return self.start_bits if self.has_currents else self.accumulator_bits

    def fast_bits(self, family: Family) -> int:
        """The same where it is fast: on ECP5 the bias is in it."""
        biased = family is Family.ECP5 and self.bias_bits > 0
        return max(self.accumulator_bits, self.bias_bits + 1) + 1 if biased else self.accumulator_bits

    @property
    def current_bits(self) -> int:
        """The width that holds every synaptic current: as wide as a state at most, and no wider than the sums."""
        return min(self.state_bits, self.accumulator_bits)

    @property
    def rules(self) -> list[NeuronRule]:
        """The distinct rules of the populations."""
        return list(dict.fromkeys(population.rule for population in self.populations))

    def memories(self, family: Family) -> dict[str, MemoryShape]:
        """The memories by their role, a word per neuron, but for parameters that neurons share.

        `state` is what the membrane starts from. Contributions are added to it, but where there are `currents`: then to
        these, which only a pass changes otherwise. `adaptation` is how much higher thresholds are, where they adapt.
        `touched` says of which neurons the next pass makes something, `visits` lists them. `parameters` are there if
        any has a bit.
        """
        beside = self.remembers_firing + self.lists
        words = {"state": (self.fast_bits(family) if self.fast else self.membrane_start_bits) + beside}
        if self.has_currents:
            words["currents"] = self.accumulator_bits
        if self.has_adaptation:
            words["adaptation"] = self.adaptation_bits
        shapes = {role: MemoryShape(family, self.neurons, bits, writable=True) for role, bits in words.items()}
        if self.touched:
            shapes["touched"] = MemoryShape(family, self.neurons // self.touched, 1, writable=True)
        if self.lists:
            listed = self.ends[0]
            shapes["visits"] = MemoryShape(family, listed, address_bits(listed), writable=True)
        if self.parameter_bits:
            words_of_all = sum(population.parameter_words for population in self.populations)
            shapes["parameters"] = read_only(family, words_of_all, self.parameter_bits, self.logic_luts)
        return shapes


def trace_signature(neurons: int, state_bits: int, spike_bits: int = 1) -> wiring.Signature:
    """A monitor: `membrane` V of `neuron` at the end of the step, and how often it spiked."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "neuron": Out(address_bits(neurons)),
            "membrane": Out(signed(state_bits)),
            "spike": Out(spike_bits),
        }
    )
