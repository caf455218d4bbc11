"""Neurons with room for other parameters, and whether other neurons are those that were built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...hdl.errors import quoted
from ...hdl.memories.memory import NEVER_LOGIC
from ...hdl.neurons.decay import DecayFormat
from ...hdl.neurons.neuron_format import NeuronFormat, NeuronRule
from ..encodings.room import NoRoomError, Room, require_room

_SUMS = {
    "accumulator_bits": "the sums of a step",
    "start_bits": "what membranes start from",
    "adaptation_bits": "what thresholds adapt by",
}
"""The widths that follow from weights and parameters."""

_SIGNED = ("v_reset", "bias", "v_min")
"""Parameters that other weights may turn negative."""

Words = tuple[int, ...]


def with_room(form: NeuronFormat, words: Words, room: Room, names: Sequence[str]) -> tuple[NeuronFormat, Words]:
    """Neurons and their parameter words, as they are or would be laid out for other parameters than their own.

    Raises NoRoomError for what fits no memory that was laid out, or is logic there and not the same; `names` are those
    of the populations.
    """
    laid = _roomy(form, room) if room.form is None else room.form
    _require_same(form, laid, names)
    for field, what in _SUMS.items():
        require_room(what, getattr(laid, field), getattr(form, field), "bit")
    return laid, _repacked(form, words, laid)


def _roomy(form: NeuronFormat, room: Room) -> NeuronFormat:
    wide = {field: bits + room.bits for field in _SUMS if (bits := getattr(form, field))}
    unsigned = set(form.unsigned)
    for name, bits in form.parameter_fields:
        if name == "sub_delta":
            subtracts = any(population.rule.has_sub for population in form.populations)
            wide["sub_delta_bits"] = max(bits, 1) if subtracts else bits  # fire and sub are rounded apart
        elif bits:
            turns = name in _SIGNED and name in unsigned
            unsigned -= {name} if turns else set()
            wide[f"{name}_bits"] = bits + room.bits + turns
    return replace(form, unsigned=frozenset(unsigned), logic_luts=NEVER_LOGIC, **wide)


def _require_same(form: NeuronFormat, laid: NeuronFormat, names: Sequence[str]) -> None:
    """NoRoomError for what is logic and another."""
    require_room("a weight", laid.weight_bits, form.weight_bits, "bit")
    for own, built, name in zip(form.populations, laid.populations, names, strict=True):
        _require_rule(own.rule, built.rule, name)
        if (own.neurons, own.shift, own.returns) != (built.neurons, built.shift, built.returns):
            what = f"{built.neurons} neurons and shifts of {built.shift}, not {own.neurons} and {own.shift}"
            raise NoRoomError(f"population {quoted(name)} was built with {what}")
    if (form.overlaps, form.skips, form.gives_membranes) != (laid.overlaps, laid.skips, laid.gives_membranes):
        raise NoRoomError(f"the passes of {quoted(names[-1])} were built for other connections")
    if laid.touched and form.touched != laid.touched:
        raise NoRoomError(
            f"neurons of {quoted(names[0])} that nothing comes to are passed by: with these biases and thresholds they "
            "may not be"
        )


def _require_rule(own: NeuronRule, built: NeuronRule, name: str) -> None:
    leaks = (
        ("the leak", own.decay, built.decay),
        ("the leak of the currents", _leak(own.current), _leak(built.current)),
        ("the leak of the thresholds", _leak(own.adaptation), _leak(built.adaptation)),
    )
    for what, now, then in leaks:
        if now != then:
            raise NoRoomError(f"{what} of population {quoted(name)} is logic: it was {_said(then)} and is {_said(now)}")
    require_room(f"a membrane of {quoted(name)}", built.state_bits, own.state_bits, "bit")
    for what, may, could in (
        ("membranes", own.saturates, built.saturates),
        ("currents", _saturates(own.current), _saturates(built.current)),
        ("adaptations", _saturates(own.adaptation), _saturates(built.adaptation)),
    ):
        if may and not could:
            raise NoRoomError(
                f"{what} of {quoted(name)} never left their {built.state_bits} bits and do not saturate: the new "
                "weights may drive them beyond"
            )
        if may and own.state_bits != built.state_bits:
            raise NoRoomError(f"{what} of {quoted(name)} saturate at {built.state_bits} bits, not {own.state_bits}")
    if own.most_spikes != built.most_spikes and (own.limited or 1 in (own.most_spikes, built.most_spikes)):
        raise NoRoomError(f"a neuron of {quoted(name)} fires {built.most_spikes} times a step, not {own.most_spikes}")
    if own.limited and not built.limited:
        raise NoRoomError(f"neurons of {quoted(name)} never fired more than {built.most_spikes} times: now they might")
    for field in ("fires", "has_sub", "reset_mode", "reset_place", "has_floor"):
        if getattr(own, field) != getattr(built, field):
            was, has = getattr(built, field), getattr(own, field)
            raise NoRoomError(f"population {quoted(name)} was built with {field.replace('_', ' ')} {was}: it is {has}")
    if own.current is not None and built.current is not None and own.current.drives_later != built.current.drives_later:
        raise NoRoomError(f"currents of {quoted(name)} drive the membranes of another step than was built")


def _leak(part: object) -> DecayFormat | None:
    return getattr(part, "decay", None)


def _saturates(part: object) -> bool:
    return bool(getattr(part, "saturates", False))


def _said(leak: DecayFormat | None) -> str:
    if leak is None:
        return "none"
    return f"{'one for each neuron,' if leak.c is None else leak.c} / 2^{leak.k} ({leak.rounding})"


def _repacked(form: NeuronFormat, words: Words, laid: NeuronFormat) -> Words:
    """The parameter words of `form` as `laid` has them."""
    for name, bits in form.parameter_fields:
        if bits and not dict(laid.parameter_fields).get(name):
            raise NoRoomError(f"the parameter {name} was 0 for all neurons, and is none of their words")
    values = [_fields(form, word) for word in words] or [dict.fromkeys(dict(form.parameter_fields), 0)] * form.neurons
    repacked: list[int] = []
    first = 0
    for own, built in zip(form.populations, laid.populations, strict=True):
        count = own.parameter_words if words else own.neurons
        repeats, rest = divmod(built.parameter_words, count)
        if rest or not repeats:
            raise NoRoomError(f"neurons that share {built.parameter_words} parameter words would need {count}")
        own_values = values[first : first + count]
        repacked += [_word(laid, value) for value in own_values] * repeats
        first += count
    return tuple(repacked) if laid.parameter_bits else ()


def _fields(form: NeuronFormat, word: int) -> dict[str, int]:
    values = {}
    for name, bits in form.parameter_fields:
        value = word & (1 << bits) - 1
        word >>= bits
        values[name] = value if not bits or name in form.unsigned or not value >> bits - 1 & 1 else value - (1 << bits)
    return values


def _word(laid: NeuronFormat, values: dict[str, int]) -> int:
    word = low = 0
    for name, bits in laid.parameter_fields:
        value = values.get(name, 0)
        least, most = (0, (1 << bits) - 1) if name in laid.unsigned else (-(1 << bits >> 1), (1 << bits >> 1) - 1)
        if not (least <= value <= most or not bits):
            raise NoRoomError(f"the parameter {name} has {bits} bits, {least:,} to {most:,}, and is {value:,}")
        word |= (value & (1 << bits) - 1) << low
        low += bits
    return word
