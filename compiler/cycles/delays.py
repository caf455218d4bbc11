"""What is heard later, cycle by cycle (`spikeloom.hdl.streams.delays`)."""

from __future__ import annotations

from collections.abc import Iterator

from ...hdl.core import Delayed
from ...hdl.streams.delays import DelayContents, HistoryFormat
from .tokens import END_OF_STEP, ENDS, EVENT, EVENTS, Block, Token

START, SAY, END, KEEP = range(4)


def delay_block(delayed: Delayed) -> Block:
    """The store of what an engine hears later."""
    if isinstance(delayed.form, HistoryFormat):
        return run_history(delayed.form, delayed.contents)
    return run_log()


def run_log() -> Block:
    """A log, by the registers of `Log`."""
    says = True
    events: list[int] = []
    said = 0
    out: Token | None = None
    while True:
        token, taken, _ = yield 0 if says else EVENTS | (ENDS if out is None else 0), out
        free = out is None or taken
        out = None if taken else out
        if says and free:
            if said == len(events):
                out, says, events, said = (END_OF_STEP, 0), False, [], 0
            else:
                out = (EVENT, events[said])
                said += 1
        if token is not None and token[0] == EVENT:
            events.append(token[1])
        elif token is not None:
            says = True
            if token[0] != END_OF_STEP:
                events = []


def run_history(form: HistoryFormat, contents: DelayContents) -> Block:
    """A history, by the registers of `History`."""
    taps = list(_taps(form, contents))
    history = [[0] * form.steps for _ in range(form.neurons)]
    job, tap, said = START, 0, 0
    fresh, keeping = True, False
    out: Token | None = None
    while True:
        ready = 0
        if job == KEEP and not (keeping and form.most > 1):
            ready = EVENTS | (ENDS if out is None and not keeping else 0)
        token, taken, _ = yield ready, out
        free = out is None or taken
        out = None if taken else out
        keeping = False
        if job == START:
            job, tap = SAY, 0
        elif job == SAY:
            neuron, delay, last = taps[tap]
            due = 0 if fresh else history[neuron][delay - 1]
            says = due != said and free
            if says:
                out = (EVENT, tap)
            advance = due == said or (form.most == 1 and free)
            said = 0 if advance else said + says
            if advance:
                tap += 1
                if last:
                    history[neuron] = [0] * form.steps if fresh else [0, *history[neuron][:-1]]
                if tap == len(taps):
                    job = END
        elif job == END:
            if free:
                out, job, fresh = (END_OF_STEP, 0), KEEP, False
        elif token is not None and token[0] == EVENT:
            history[token[1]][0] += 1
            keeping = True
        elif token is not None:
            job, fresh = START, token[0] != END_OF_STEP


def _taps(form: HistoryFormat, contents: DelayContents) -> Iterator[tuple[int, int, bool]]:
    """(neuron, delay, whether it is the neuron's last) of each tap."""
    if form.one_each:
        for neuron in range(form.neurons):
            delay = (contents.history[neuron] >> form.history_bits) + 1 if form.delay_bits else form.steps
            yield neuron, delay, True
        return
    neuron = 0
    for word in contents.taps:
        last = bool(word >> form.delay_bits)
        yield neuron, (word & ((1 << form.delay_bits) - 1)) + 1, last
        neuron += last
