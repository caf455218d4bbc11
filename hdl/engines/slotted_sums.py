"""The sums of a slotted engine: two memories for each slot take turns, so that nothing waits."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, ShapedMemory
from .slotted_format import SlottedFormat


class SlottedSums(wiring.Component):
    """Adds weights to sums, modulo two to their width, which are never cleared: who looks at them remembers what they
    were.

    ====== === =============================================================================================
    Port   Dir Meaning
    ====== === =============================================================================================
    word   in  the slots of a word
    valid  in  there is one
    set    in  the set of sums that it belongs to
    place  in  which place of every bank is looked at; it is there in a cycle in which `odd` is 0 and the next
    look   in  the set that is looked at
    odd    in  whose turn it is: changes in every cycle
    totals out the sums of all banks, `sum_latency` cycles after the first of the two, for two cycles
    ====== === =============================================================================================

    A word is added in one memory of each slot while the other is looked at: in every cycle a memory reads for one and
    has the other's read behind it.
    """

    word: data.View[data.ArrayLayout]
    valid: Signal
    set: Signal
    place: Signal
    look: Signal
    odd: Signal
    totals: data.View[data.ArrayLayout]

    def __init__(self, form: SlottedFormat, family: Family) -> None:
        self._form = form
        self._family = family
        super().__init__(
            {
                "word": In(data.ArrayLayout(form.slot_layout, form.slots)),
                "valid": In(1),
                "set": In(1),
                "place": In(form.place_bits),
                "look": In(1),
                "odd": In(1),
                "totals": Out(data.ArrayLayout(signed(form.sum_bits), form.banks)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form, shapes = self._form, self._form.memories(self._family)
        set_added, added = Signal(), Signal(2)
        m.d.sync += [set_added.eq(self.set), added.eq(self.valid << self.odd)]
        looked: list[list[Value]] = []  # of each slot, the sums of its banks
        for number, slot in enumerate(self.word):
            place = Signal(form.place_bits, name=f"place{number}")
            m.d.sync += place.eq(slot.place)
            weights = [self._weight(m, slot, bank, f"weight{number}_{bank}") for bank in range(form.reach)]
            words = []
            for turn in range(2):
                role = f"sums{2 * number + turn}"
                m.submodules[role] = memory = ShapedMemory(shapes[role], transparent=False)
                adds = self.odd == turn
                sums = [memory.read_data.word_select(bank, form.sum_bits).as_signed() for bank in range(form.reach)]
                totals = [(held + weight)[: form.sum_bits] for held, weight in zip(sums, weights, strict=True)]
                m.d.comb += [
                    memory.read_address.eq(Mux(adds, Cat(slot.place, self.set), Cat(self.place, self.look))),
                    memory.read_enable.eq(1),
                    memory.write_address.eq(Cat(place, set_added)),
                    memory.write_data.eq(Cat(*totals)),
                    memory.write_enable.eq(added[turn]),
                ]
                words.append(sums)
            looked.append([self._together(m, *pair) for pair in zip(*words, strict=True)])
        for bank in range(form.banks):
            reached, group = divmod(bank, form.groups)
            parts = [sums[reached] for sums in looked[group :: form.groups]]
            while len(parts) > 1:
                parts = [self._registered(m, a + b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
            m.d.comb += self.totals[bank].eq(parts[0])
        return m

    def _weight(self, m: Module, slot: data.View[data.StructLayout], bank: int, name: str) -> Signal:
        """What a slot adds to a bank of its group."""
        weight = Signal(signed(self._form.neurons.weight_bits), name=name)
        m.d.sync += weight.eq(slot.weights[bank if self._form.abreast else 0])
        if self._form.reach > 1 and not self._form.abreast:
            with m.If(slot.bank != bank):
                m.d.sync += weight.eq(0)
        return weight

    def _together(self, m: Module, even: Value, odd: Value) -> Value:
        """What both memories of a slot have: the one at even cycles is looked at in odd ones, so a cycle later."""
        first, both = (Signal(signed(self._form.sum_bits), name=name) for name in ("first", "both"))
        m.d.sync += first.eq(odd)
        with m.If(~self.odd):
            m.d.sync += both.eq(first + even)
        return both

    def _registered(self, m: Module, value: Value) -> Signal:
        register = Signal(signed(self._form.sum_bits), name="part")
        m.d.sync += register.eq(value)
        return register
