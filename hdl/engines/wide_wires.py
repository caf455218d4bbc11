"""What the parts of a wide engine's bank tell each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from amaranth import Cat, Const, Mux, Signal
from amaranth.hdl import Value, signed
from amaranth.lib import data

from ..memories.alternating import AlternatingMemory
from ..memories.memory import Family, ShapedMemory
from ..neurons.wires import StepWires
from ..streams.token_queue import TokenQueue
from ..streams.tokens import TokenKind, address_bits
from .rows import entries_memory
from .visit_map import VisitMap
from .visits import VisitLists
from .wide_format import SPIKING_WORDS, WideContents, WideFormat
from .wide_turns import Stage, Turns


def spike_layout(form: WideFormat) -> data.StructLayout:
    """A token whose EVENT is a neuron: the `lane` of the word with a `name`."""
    return data.StructLayout({"kind": TokenKind, "lane": address_bits(form.lanes), "name": form.name_width})


class Waiting(NamedTuple):
    """What is to be added: whether there is something, whether that is an event, its kind, the word, whether it is of
    the step under way, and whether it may be joined by others to the same word."""

    valid: Signal
    event: Signal
    kind: Signal
    word: Signal
    now: Signal
    joins: Signal

    @staticmethod
    def named(name: str, word_bits: int) -> Waiting:
        """Signals of that name."""
        shapes = {"valid": 1, "event": 1, "kind": TokenKind, "word": word_bits, "now": 1, "joins": 1}
        signals = (Signal(shape, name=f"{name}_{part}") for part, shape in shapes.items())
        return Waiting(*signals)


class Wires(StepWires):
    """What the parts of the bank tell each other."""

    def __init__(self, form: WideFormat, contents: WideContents, family: Family) -> None:
        super().__init__()
        shapes = form.memories(family)
        self.tick = Signal() if form.alternates else Const(1, 1)  # the cycle in which registers change
        self.state = (
            AlternatingMemory(form.alternating_state(family))
            if form.alternates
            else ShapedMemory(shapes["state"], transparent=False)
        )
        self.entries = entries_memory(shapes["entries"], contents.entries, form.first_spram)
        self.spikes = TokenQueue(form.spiking_layout, shapes["spikes"])
        self.visits = _visits(form, shapes)

        self.population = Signal(range(len(form.layouts)))  # whose pass it is
        self.passing = Signal(init=1)  # the job is a pass: a register, as words are chosen by it on the longest paths
        self.begins = Signal()  # a pass of a population
        self.looks = Signal()  # it looks at a word, unless it clears: additions of the next step wait for it
        word = address_bits(form.words)
        self.read, self.compared, self.written = (
            Stage(
                Signal(name=f"{name}_passes"),
                Signal(name=f"{name}_adds"),
                Signal(word, name=f"{name}_word"),
                Signal(name=f"{name}_now"),
            )
            for name in ("read", "compared", "written")
        )
        self.staged = Waiting.named("staged", word)  # whose weights are being read
        self.pending = Waiting.named("pending", word)  # what is added next
        self.collides = Signal()  # its word is still on its way from an addition before
        self.goes = Signal()  # it is added, or ends the step
        weight, joined = form.neurons.weight_bits, form.joined_bits
        # The weights of what is pending: of the last that came, the sum of those that it joined, and both.
        self.fresh = [Signal(signed(weight), name=f"fresh{n}") for n in range(form.lanes)]
        self.before = [Signal(signed(bits), name=f"before{n}") for n, bits in enumerate(joined)]
        self.both = [Signal(signed(bits), name=f"both{n}") for n, bits in enumerate(joined)]
        # Those of the word that is read, and of the one that is compared.
        self.due = [Signal(signed(bits), name=f"due{n}") for n, bits in enumerate(joined)]
        self.weights = [Signal(signed(bits), name=f"weight{n}") for n, bits in enumerate(joined)]
        self.held_word = Signal.like(self.state.read_data, name="held_word", init=0)  # that is compared
        self.fired = Signal(form.lanes)  # of the word that is written
        self.turns = Turns(word, most_rounds(form) if form.neurons.repeats else 0, self.written)
        self.fires = Signal()  # neurons have fired in the word that is written
        self.direct = Signal()  # whose events are made at once, as no others wait
        self.held = Signal()  # there is a word of spikes whose events are made
        self.waiting = Signal(range(SPIKING_WORDS + 1))  # words of spikes whose events are not made yet
        self.waits = Signal()  # there are some
        # A pass may go on: there is room for the spikes of all words on their way. Where it may not, additions of the
        # next step must not wait for it, as those spikes are behind them.
        self.has_room = Signal(init=1)
        self.touches = Signal()  # the word that is written is one that the next pass looks at

    @property
    def busy(self) -> Value:
        """Whether a word is on its way."""
        return Cat(*((stage.passes, stage.adds) for stage in self.stages)).any()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Of the words that are on their way, the last first to be read."""
        return (self.read, self.compared, self.written)

    @property
    def busy_now(self) -> Value:
        """Whether one of the step under way is, or is to be added to or looked at again."""
        mine = [stage.passes | (stage.adds & stage.now) for stage in self.stages]
        mine += [stage.valid & stage.now for stage in (self.staged, self.pending)]
        return Cat(self.turns.any(), *mine).any()


def _visits(form: WideFormat, shapes: Mapping[str, Any]) -> VisitLists | VisitMap | None:
    """What says which words passes look at."""
    if not form.visits:
        return None
    if form.lists_visits:
        return VisitLists(form.bases, shapes["visits"])
    return VisitMap(form.bases, form.words, shapes["visits"])


def is_of_the_step(form: WideFormat, kind: Value, word: Value) -> Value:
    """Whether what is for a word belongs to the step under way while the passes of later populations run: then the
    first one's words have additions of the next step alone."""
    if not form.takes_ahead:
        return Const(1, 1)
    return (kind != TokenKind.EVENT) | (word >= form.ends[0])


def most_rounds(form: WideFormat) -> int:
    """After so many rounds of a word it does not matter how many there were."""
    limits = [rule.most_spikes for rule in form.neurons.rules if rule.limited or not rule.repeats]
    return max(limits, default=1)


def of_population(form: WideFormat, word: Value, choices: Sequence[Value]) -> Value:
    """Of one choice per population, that of a word's."""
    chosen = choices[0]
    for base, choice in zip(form.bases[1:], choices[1:], strict=True):
        if choice is not chosen:
            chosen = Mux(word >= base, choice, chosen)
    return chosen


def of_rule(form: WideFormat, word: Value, choices: Sequence[Value]) -> Value:
    """Of one choice per distinct rule, that of a word's population."""
    if len(choices) == 1:
        return choices[0]
    rules = form.neurons.rules
    return of_population(form, word, [choices[rules.index(p.rule)] for p in form.neurons.populations])
