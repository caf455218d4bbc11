"""Lists of the words that the passes of a wide engine look at, one for each population, linked in one memory."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import MemoryShape, ShapedMemory, select_from
from ..streams.tokens import address_bits


class VisitLists(wiring.Component):
    """A list of words for each population; the last one put in is the first one out.

    Memory has for each word the one behind the next, and registers the first two of each list, so that no way leads
    from what memory says, or from whether a word is taken, to what it is asked next.

    ======== === ==================================================================================
    Port     Dir Meaning
    ======== === ==================================================================================
    put      in  a word joins the list of its population, in which it is not
    put_word in  which
    begins   in  the list of a population is taken from, and a new one of it begins
    number   in  which population's
    forgets  in  all lists are empty
    valid    out there is a word to take, a cycle after `begins`
    word     out which; the next one is there a cycle after
    take     in  it is taken
    done     out all words that the population had are taken
    ======== === ==================================================================================

    A word may be put in while another is taken; none while a list begins. One that begins while there still are words
    is not to be taken from, but after it `forgets`.
    """

    put: Signal
    put_word: Signal
    begins: Signal
    number: Signal
    forgets: Signal
    valid: Signal
    word: Signal
    take: Signal
    done: Signal

    def __init__(self, bases: Sequence[int], shape: MemoryShape) -> None:
        """Of populations whose first words are `bases`; the memory has a word and a bit for each word."""
        self._bases = tuple(bases)
        self._shape = shape
        word = address_bits(shape.depth)
        ports = {"put": In(1), "put_word": In(word), "begins": In(1), "number": In(range(len(bases)))}
        ports |= {"forgets": In(1), "valid": Out(1), "word": Out(word), "take": In(1), "done": Out(1)}
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.links = links = ShapedMemory(self._shape, transparent=False)
        link = 1 + len(self.word)
        heads = [[Signal(link, name=f"head{n}_{place}") for place in range(2)] for n in range(len(self._bases))]
        owners = self._owners()
        ahead, kept, is_kept = Signal(link), Signal(link), Signal()  # the second word, and the third
        third = Mux(is_kept, kept, links.read_data)
        first = [Value.cast(select_from([head[place] for head in heads], self.number)) for place in range(2)]
        m.d.comb += [
            self.done.eq(~self.valid),
            links.read_address.eq(Mux(self.valid, ahead[1:], first[0][1:])),
            links.read_enable.eq(1),
            links.write_address.eq(self.put_word),
            links.write_data.eq(_of([Mux(owner, head[1], 0) for owner, head in zip(owners, heads, strict=True)])),
            links.write_enable.eq(self.put),
        ]
        for number, (owner, head) in enumerate(zip(owners, heads, strict=True)):
            with m.If(self.put & owner):
                m.d.sync += Cat(*head).eq(Cat(1, self.put_word, *head[:-1]))
            with m.If(self.forgets | (self.begins & (self.number == number))):
                m.d.sync += [place[0].eq(0) for place in head]
        m.d.sync += [kept.eq(third), is_kept.eq(1)]
        with m.If(self.begins):
            m.d.sync += [Cat(self.valid, self.word).eq(first[0]), ahead.eq(first[1]), is_kept.eq(0)]
        with m.Elif(self.take):
            m.d.sync += [Cat(self.valid, self.word).eq(ahead), ahead.eq(third), is_kept.eq(0)]
        with m.If(self.forgets):
            m.d.sync += self.valid.eq(0)
        return m

    def _owners(self) -> list[Value]:
        """Whether the word that is put in is each population's."""
        reached = [self.put_word >= base for base in self._bases[1:]]
        return [
            here & ~beyond for here, beyond in zip([Value.cast(1), *reached], [*reached, Value.cast(0)], strict=True)
        ]


def _of(choices: Sequence[Value]) -> Value:
    """The one that is not 0."""
    found = choices[0]
    for choice in choices[1:]:
        found = found | choice
    return found
