"""How spikes that are heard later are kept: in a log or in histories, whichever costs less."""

from __future__ import annotations

from collections.abc import Iterator

from ...hdl.memories.memory import Family
from ...hdl.streams.delays import DelayContents, DelayFormat, HistoryFormat, LogFormat
from ..ir.bounds import largest_input
from ..ir.network import INPUT, Network
from .step_edges import Late

MAX_KEPT_STEPS = 255
"""The longest delay in hardware: a history has a field of every step, and a multiplexer over them."""


def plan_delay(network: Network, late: Late, family: Family) -> tuple[DelayFormat, DelayContents]:
    """The store with the fewest block RAMs, of equal ones the log, which takes no time where nothing is due."""
    most = max(largest_input(network, pre) for pre in late.pres)
    return min(_stores(late, most), key=lambda store: sum(s.brams for s in store[0].memories(family).values()))


def _stores(late: Late, most: int) -> Iterator[tuple[DelayFormat, DelayContents]]:
    neurons = len(late.delays)
    if late.longest == 1:
        yield LogFormat(neurons=neurons, most=most), DelayContents()
    alike = late.rows == neurons and len(set(late.delays)) == 1
    form = HistoryFormat(
        neurons=neurons,
        most=most,
        steps=late.longest,
        taps=late.rows,
        delay_bits=0 if alike else (late.longest - 1).bit_length(),
        outside=INPUT in late.pres,
    )
    yield form, _contents(form, late)


def _contents(form: HistoryFormat, late: Late) -> DelayContents:
    if not form.delay_bits:
        return DelayContents()
    if form.one_each:
        return DelayContents(history=tuple(delays[0] - 1 << form.history_bits for delays in late.delays))
    taps = ((d - 1) | (d == delays[-1]) << form.delay_bits for delays in late.delays for d in delays)
    return DelayContents(taps=tuple(taps))
