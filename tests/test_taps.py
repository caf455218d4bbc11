"""Taps: the tables say what was asked for, and the generator makes exactly these taps, in the cycles of the model."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from amaranth.sim import Simulator
from spikeloom.compiler.cycles.taps import TapFront
from spikeloom.compiler.encodings.taps import Choice, MapJob, Parts, SegmentJobs, encode_taps, place_of, taps_of
from spikeloom.hdl.engines.tap_format import OwnRow, Places, TapContents, TapFormat
from spikeloom.hdl.engines.taps import TapGenerator
from spikeloom.hdl.memories.memory import LOGIC_ROM_LUTS, NEVER_LOGIC, Family
from spikeloom.hdl.streams.tokens import TokenKind

CHANNELS, ROWS, COLUMNS = 3, 5, 4


def parts(rng: random.Random, length: int, most: int, *, gaps: bool, unit: int) -> Parts:
    """Random taps of every place along an axis."""
    return tuple(
        tuple((rng.randrange(20), rng.randrange(9) * unit) for _ in range(rng.randint(0 if gaps else 1, most)))
        for _ in range(length)
    )


def stepped(rng: random.Random, length: int, most: int, *, gaps: bool, unit: int) -> Parts:
    """The same where the taps of all places are alike far from each other, as those of kernels are."""
    counts = [rng.randint(0 if gaps else 1, most) for _ in range(length)]
    firsts = [(rng.randrange(12), rng.randrange(4, 9) * unit) for _ in range(length)]
    return tuple(
        tuple((row + 4 * slot, origin - unit * slot) for slot in range(count))
        for count, (row, origin) in zip(counts, firsts, strict=True)
    )


def some_taps(*, planar: bool, fields: bool, choices: bool, gaps: bool = True) -> tuple[TapFormat, TapContents]:
    """Two maps and what has rows of its own, before, behind and beside them; with steps where nothing is chosen."""
    made = parts if choices else stepped
    rng = random.Random(planar + 2 * fields + 4 * choices + 8 * gaps)
    channels, columns = (4, 4) if fields else (CHANNELS, COLUMNS + 1)
    places = Places(inner=columns, outer=8 if fields else ROWS, planar=True)
    if not planar:
        places = Places(inner=channels, outer=columns, planar=False)
    size = channels * ROWS * columns
    if planar and fields:
        size = channels * 8 * columns
    rows = ROWS if not (planar and fields) else 8

    def job() -> MapJob:
        return MapJob(down=made(rng, rows, 3, gaps=gaps, unit=16), across=made(rng, columns, 2, gaps=gaps, unit=4))

    segments = [
        SegmentJobs(first=0, jobs=(job(), OwnRow(offset=7, origin=3)), places=places),
        SegmentJobs(first=size, jobs=(OwnRow(offset=40 - size, origin=0),)),
        SegmentJobs(first=size + 9, jobs=(job(), job()), places=places, looked_up=choices),
    ]
    addresses = 2 * size + 9
    chosen = [Choice(jobs=rng.randrange(4), number=rng.randrange(size)) for _ in range(addresses)] if choices else []
    luts = LOGIC_ROM_LUTS if choices else NEVER_LOGIC  # steps are for what would be block RAM
    return encode_taps(
        segments, addresses=addresses, rows=256, post=512, choices=chosen, logic_luts=luts, steps=not choices
    )


CASES = [
    dict(zip(("planar", "fields", "choices"), values, strict=True))
    for values in itertools.product((False, True), repeat=3)
]


def test_places_are_where_numbers_say() -> None:
    shape = CHANNELS, ROWS, COLUMNS
    for c, y, x in itertools.product(*map(range, shape)):
        planar = Places(inner=COLUMNS, outer=ROWS, planar=True)
        assert place_of(planar, (c * ROWS + y) * COLUMNS + x) == (c, y, x)
        assert place_of(Places(inner=CHANNELS, outer=COLUMNS, planar=False), (y * COLUMNS + x) * CHANNELS + c) == (
            c,
            y,
            x,
        )


def test_tables_hold_each_axis_once_and_no_zeros() -> None:
    axis: Parts = (((0, 64),), ((2, 128), (4, 64)), ())
    job = MapJob(down=axis, across=axis)
    segment = SegmentJobs(first=0, jobs=(job, job), places=Places(inner=1, outer=3, planar=False))
    form, contents = encode_taps([segment], addresses=9, rows=12, post=300)
    assert (form.down.row_bits, form.down.row_shift) == (2, 1)
    assert (form.down.origin_bits, form.down.origin_shift) == (2, 6)
    assert len(contents.down) == 3 * form.down.slots == 6
    assert list(taps_of(form, contents, 0)) == 2 * [(0, 128)]
    assert list(taps_of(form, contents, 2)) == [None, None]
    assert list(taps_of(form, contents, 4)) == 2 * [(4, 256), (6, 192), (6, 192), (8, 128)]


def test_tables_with_steps_say_the_same_in_fewer_words() -> None:
    """Along the axis of a kernel; not where one place has its second tap elsewhere."""
    axis = stepped(random.Random(1), 32, 5, gaps=True, unit=1)
    uneven = (*axis, ((0, 0), (5, 1)))
    for asked, words in ((axis, 32), (uneven, 33 * 8)):
        segment = SegmentJobs(
            first=0, jobs=(MapJob(down=asked, across=(((0, 0),),)),), places=Places(inner=1, outer=1, planar=False)
        )
        form, contents = encode_taps([segment], addresses=len(asked), rows=32, post=16, steps=True)
        assert len(contents.down) == words and form.down.memory(Family.ECP5, LOGIC_ROM_LUTS).brams == (words > 33)
        for place, taps in enumerate(asked):
            assert list(taps_of(form, contents, place)) == (list(taps) or [None])


@pytest.mark.parametrize("stall", [0.0, 0.6])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_generator_makes_the_taps_in_the_cycles_of_the_model(case: dict[str, bool], stall: float) -> None:
    form, contents = some_taps(**case)
    rng = random.Random(5)
    tokens = [
        (TokenKind.EVENT.value, rng.randrange(form.addresses)) if rng.random() < 0.8 else (rng.randint(1, 3), 0)
        for _ in range(60)
    ]
    gaps = [rng.choice((0, 0, 0, 40)) for _ in tokens]
    readys = [rng.random() >= stall for _ in range(20_000)]
    expected = [
        (kind, *tap)
        for kind, address in tokens
        for tap in (taps_of(form, contents, address) if kind == 0 else [(0, 0)])
        if tap is not None
    ]
    shown, taken = simulate(form, contents, tokens, gaps, readys)
    assert [tap if tap[0] == 0 else (tap[0], 0, 0) for tap in taken] == expected
    assert shown == modelled(form, contents, tokens, gaps, readys)[: len(shown)]


def simulate(
    form: TapFormat, contents: TapContents, tokens: list[tuple[int, int]], gaps: list[int], readys: list[bool]
) -> tuple[list[tuple[bool, bool, bool]], list[tuple[int, int, int]]]:
    """What the generator shows in every cycle (ready, valid, idle), and the taps that were taken."""
    generator = TapGenerator(form, contents, Family.ICE40)
    shown: list[tuple[bool, bool, bool]] = []
    taken: list[tuple[int, int, int]] = []

    async def bench(context: Any) -> None:
        waiting = list(zip(tokens, gaps, strict=True))
        pause = waiting[0][1]
        for ready in readys:
            valid = bool(waiting) and not pause
            context.set(generator.i.valid, valid)
            if waiting:
                kind, address = waiting[0][0]
                context.set(generator.i.payload, {"kind": TokenKind(kind), "address": address})
            context.set(generator.o.ready, ready)
            state = tuple(bool(context.get(s)) for s in (generator.i.ready, generator.o.valid, generator.idle))
            shown.append((state[0], state[1], state[2]))
            if state[1] and ready:
                tap = generator.o.payload
                taken.append((context.get(tap.kind).value, context.get(tap.address), context.get(tap.origin)))
            if not waiting and state[2]:
                return
            if valid and state[0]:
                waiting.pop(0)
                pause = waiting[0][1] if waiting else 0
            elif pause:
                pause -= 1
            await context.tick()

    simulator = Simulator(generator)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return shown, taken


def modelled(
    form: TapFormat, contents: TapContents, tokens: list[tuple[int, int]], gaps: list[int], readys: list[bool]
) -> list[tuple[bool, bool, bool]]:
    """The same from the model."""
    front = TapFront(form, contents)
    shown = []
    waiting = list(zip(tokens, gaps, strict=True))
    pause = waiting[0][1]
    for ready in readys:
        valid, takes = bool(waiting) and not pause, front.ready(ready)
        shown.append((takes, front.out is not None, front.idle))
        token = waiting.pop(0)[0] if valid and takes else None
        if token is not None:
            pause = waiting[0][1] if waiting else 0
        elif pause:
            pause -= 1
        front.move(token, ready)
    return shown
