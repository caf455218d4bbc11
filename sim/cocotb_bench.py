"""The cocotb test bench of a core; it runs inside the simulator, started by `cocotb_runner`.

`job.npz` in the run folder holds what to send and, for a regression, what to expect; `outcome.json` and `recorded.npz`
are left there. Only numbers pass: populations are indices, names stay outside.

Timing: inputs change right after the rising edge, everything is sampled at the falling edge, when it has settled. A
coroutine sleeps while its handshake is idle, so the cost is per token and not per clock cycle.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Event, FallingEdge, First, RisingEdge, Timer, ValueChange
from cocotb.utils import get_sim_time

from ..hdl.streams.tokens import TokenKind
from .divergence import (
    CLASS,
    EVENTS,
    MEMBRANE,
    READING,
    SPIKE,
    Comparison,
    Divergence,
    count_compared,
    first_divergence,
)
from .observer import (
    INPUT,
    OUTPUT,
    MonitorObserver,
    OutputObserver,
    ProtocolError,
    ReadingObserver,
    Source,
    TraceObserver,
)
from .stimulus import KIND_BITS

RUN_FOLDER = "SPIKELOOM_RUN_FOLDER"
"""The environment variable that names the run folder."""

PERIOD_NS = 10
_RESET_CYCLES = 4
_LONGEST_STALL = 8


def read(handle: Any) -> int:
    """The unsigned value of a port. Raises ValueError where a bit is X or Z."""
    value = handle.value
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{handle._name} is {value}") from None


def read_token(handle: Any) -> int:
    """The value of a port that carries tokens; the address of an end means nothing and is read as 0.

    Raises ValueError where a bit that counts is X or Z.
    """
    try:
        kind = int(handle.value[KIND_BITS - 1 : 0])
    except ValueError:
        return read(handle)
    return read(handle) if TokenKind(kind) is TokenKind.EVENT else kind


def read_reading(handle: Any, class_bits: int) -> int:
    """The value of a port that carries readings; of an end only the class means anything, which has `class_bits`.

    Raises ValueError where a bit that counts is X or Z.
    """
    try:
        kind = int(handle.value[KIND_BITS - 1 : 0])
    except ValueError:
        return read(handle)
    if TokenKind(kind) is TokenKind.EVENT:
        return read(handle)
    if TokenKind(kind) is not TokenKind.END_OF_SAMPLE or not class_bits:
        return kind
    try:
        return int(handle.value[KIND_BITS + class_bits - 1 : 0])
    except ValueError:
        return read(handle)


class CoreBench:
    """Drives one core through the job and records what it does."""

    def __init__(self, dut: Any, folder: Path) -> None:
        self.dut = dut
        self.folder = folder
        with np.load(folder / "job.npz") as job:
            self.job = dict(job)
        samples, steps = (int(n) for n in self.job["shape"])
        self.output = self._observer(samples, steps, int(self.job["outputs"]))
        self.traces = [TraceObserver(k, samples, steps, int(n)) for k, n in enumerate(self.job["traced"])]
        self.monitors = [
            MonitorObserver(
                port,
                self.traces[int(population)],
                self.job[f"numbers{port}"].tolist(),
                self.job[f"neurons{port}"].tolist(),
                in_turn=bool(self.job["in_turn"][port]),
            )
            for port, population in enumerate(self.job["monitors"])
        ]
        self.stop_after = samples * steps
        self.failure: ProtocolError | None = None
        self.over = Event()
        self.activity = 0
        self.ready = True
        self.started = np.zeros(samples, np.int64)
        self.ended = np.zeros(samples, np.int64)

    def _observer(self, samples: int, steps: int, outputs: int) -> OutputObserver | ReadingObserver:
        """What watches the output; the job's `readout` is empty where that is of spikes."""
        if not len(self.job["readout"]):
            return OutputObserver(samples, steps, outputs)
        value_bits, once, names_class = self.job["readout"].tolist()
        options = {"value_bits": value_bits, "once": bool(once), "names_class": bool(names_class)}
        return ReadingObserver(samples, steps, outputs, **options)

    async def run(self) -> None:
        """Reset the core, let all sources play until everything has arrived, something fails or nothing moves."""
        Clock(self.dut.clk, PERIOD_NS, "ns", impl="gpi").start()
        self.dut.i__payload.value = 0
        self.dut.o__ready.value = 1
        if len(self.job["loads"]):
            self.dut.load__valid.value = 0
        await self._reset()
        await self._load()
        await self._leave_half_a_sample()
        await self._reset()
        sources = [self._drive(len(self.job["payloads"])), self._watch_output(), self._watch_progress()]
        sources += [self._watch_monitor(monitor) for monitor in self.monitors]
        if int(self.job["stress"]) >= 0:
            sources.append(self._stall_output(random.Random(int(self.job["stress"]))))
        tasks = [cocotb.start_soon(self._guarded(source)) for source in sources]
        await self.over.wait()
        if self.failure is None:
            await ClockCycles(self.dut.clk, int(self.job["drain_cycles"]))
        for task in tasks:
            task.cancel()

    async def _reset(self) -> None:
        self.dut.i__valid.value = 0
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, _RESET_CYCLES)
        self.dut.rst.value = 0

    async def _load(self) -> None:
        """Fill the core's SPRAMs, which keep their words through a reset."""
        dut = self.dut
        for block, address, word in self.job["loads"].tolist():
            dut.load__valid.value = 1
            dut.load__block.value = block
            dut.load__address.value = address
            dut.load__data.value = word
            await RisingEdge(dut.clk)
        if len(self.job["loads"]):
            dut.load__valid.value = 0

    async def _leave_half_a_sample(self) -> None:
        """Put something into the core's memories, which the reset that follows must clear."""
        start = cocotb.start_soon(self._guarded(self._drive(int(self.job["warm_up"]))))
        await First(start, Timer(int(self.job["hang_cycles"]) * PERIOD_NS, "ns"))
        start.cancel()
        self.failure = None  # the run proper meets it again
        self.over.clear()

    # ------------------------------------------------------------------------------------------------- sources

    async def _guarded(self, source: Coroutine[Any, Any, None]) -> None:
        try:
            await source
        except ProtocolError as error:
            self.failure = error
            self.over.set()

    async def _drive(self, tokens: int) -> None:
        """Send the first `tokens` of the stimulus."""
        dut, job = self.dut, self.job
        sample = -1
        for index, (payload, gap) in enumerate(zip(job["payloads"][:tokens], job["gaps"][:tokens], strict=True)):
            if gap:
                dut.i__valid.value = 0
                await ClockCycles(dut.clk, int(gap))
            dut.i__payload.value = int.from_bytes(payload.tobytes(), "little")
            dut.i__valid.value = 1
            place = (INPUT, int(job["samples"][index]), int(job["steps"][index]))
            await self._sampled_high(dut.i__ready, place)
            self.activity += 1
            if place[1] != sample:
                sample = place[1]
                self.started[sample] = _cycle()
            await RisingEdge(dut.clk)
        dut.i__valid.value = 0

    async def _watch_output(self) -> None:
        dut, output = self.dut, self.output
        while True:
            await self._sampled_high(dut.o__valid, (OUTPUT, *output.place))
            if not self.ready:
                continue
            self.activity += 1
            if not output.token(self._value(dut.o__payload, (OUTPUT, *output.place), self._read_output)):
                continue
            sample, step = output.place
            if step == 0:
                self.ended[sample - 1] = _cycle()
            (self.folder / "progress").write_text(str(output.finished), encoding="ascii")
            self._step_finished(output, self._output_comparisons())

    async def _watch_monitor(self, monitor: MonitorObserver) -> None:
        trace, port = monitor.trace, f"trace{monitor.port}"
        ports = [getattr(self.dut, f"{port}__{field}") for field in ("neuron", "membrane", "spike")]
        valid = getattr(self.dut, f"{port}__valid")
        sign = 1 << (len(ports[1]) - 1)
        while True:
            place = (trace.source, *trace.place)
            await self._sampled_high(valid, place)
            self.activity += 1
            number, membrane, spike = (self._value(handle, place) for handle in ports)
            if monitor.beat(number, (membrane ^ sign) - sign, spike):
                self._step_finished(trace, self._trace_comparisons(trace))

    async def _stall_output(self, rng: random.Random) -> None:
        while True:
            self.ready = not self.ready
            self.dut.o__ready.value = int(self.ready)
            await ClockCycles(self.dut.clk, rng.randint(1, _LONGEST_STALL))

    async def _watch_progress(self) -> None:
        start, most = _cycle(), int(self.job["run_cycles"])
        while True:
            before = self.activity
            await Timer(int(self.job["hang_cycles"]) * PERIOD_NS, "ns")
            behind = min([*self.traces, self.output], key=lambda source: source.finished)
            if self.activity == before:
                raise behind.error(f"nothing has moved for {int(self.job['hang_cycles'])} cycles: the core hangs")
            if _cycle() - start > most:
                raise behind.error(f"the run has not ended after {most} cycles: the core goes on for ever")

    async def _sampled_high(self, handle: Any, place: tuple[int, int, int]) -> None:
        """Wait for the next falling clock edge at which `handle` is 1."""
        await FallingEdge(self.dut.clk)
        while not self._value(handle, place):
            await ValueChange(handle)
            await FallingEdge(self.dut.clk)

    def _value(self, handle: Any, place: tuple[int, int, int], reader: Callable[[Any], int] = read) -> int:
        try:
            return reader(handle)
        except ValueError as error:
            raise ProtocolError(*place, f"a port has no known value: {error}") from None

    # ------------------------------------------------------------------------------------------------ comparing

    def _step_finished(self, source: Source, comparisons: list[Comparison]) -> None:
        """Look at the step that a source just finished; after a difference, only steps up to it are waited for."""
        if any(_last_step_differs(comparison) for comparison in comparisons):
            self.stop_after = min(self.stop_after, source.finished)
        if all(source.finished >= self.stop_after for source in (self.output, *self.traces)):
            self.over.set()

    def _read_output(self, handle: Any) -> int:
        """A token of the output, of which what means nothing is read as 0."""
        if isinstance(self.output, ReadingObserver):
            return read_reading(handle, self.output.class_bits)
        return read_token(handle)

    def _output_comparisons(self) -> list[Comparison]:
        index, output = int(self.job["output"]), self.output
        if isinstance(output, OutputObserver):
            return self._comparisons(index, output.finished, {EVENTS: ("spikes", output.spikes)})
        recorded = {READING: ("readings", output.readings)}
        recorded |= {CLASS: ("classes", output.classes)} if output.names_class else {}
        return self._comparisons(index, output.finished, recorded)

    def _trace_comparisons(self, trace: TraceObserver) -> list[Comparison]:
        recorded = {SPIKE: ("spikes", trace.spikes), MEMBRANE: ("membranes", trace.membranes)}
        return self._comparisons(trace.source, trace.finished, recorded)

    def _comparisons(self, population: int, finished: int, recorded: dict[str, tuple[str, Any]]) -> list[Comparison]:
        return [
            Comparison(
                population=population,
                quantity=quantity,
                expected=self.job[f"{array}{population}"],
                got=got,
                finished=finished,
                once=quantity == CLASS or (quantity == READING and bool(self.job["readout"][1])),
            )
            for quantity, (array, got) in recorded.items()
            if f"{array}{population}" in self.job
        ]

    def outcome(self) -> dict[str, Any]:
        """What `outcome.json` says: agreement, the first divergence, or a broken protocol, whichever comes first."""
        comparisons = [c for trace in self.traces for c in self._trace_comparisons(trace)] + self._output_comparisons()
        divergence = first_divergence(comparisons)
        if divergence is not None and not self._fails_before(divergence):
            return {"status": "divergence", **vars(divergence)}
        if self.failure is not None:
            return {"status": "protocol", **vars(self.failure)}
        return {
            "status": "done",
            "cycles": (self.ended - self.started + 1).tolist(),
            "total_cycles": _cycle(),
            "compared": count_compared(comparisons),
        }

    def _fails_before(self, divergence: Divergence) -> bool:
        place = (divergence.sample, divergence.step)
        return self.failure is not None and (self.failure.sample, self.failure.step) < place

    def save(self) -> dict[str, Any]:
        """Leave the recording and the outcome in the run folder."""
        output = self.output
        arrays: dict[str, Any] = {"events": output.spikes}
        if isinstance(output, ReadingObserver):
            arrays |= {"readings": output.readings, "classes": output.classes}
        for trace in self.traces:
            arrays[f"spikes{trace.source}"] = trace.spikes
            arrays[f"membranes{trace.source}"] = trace.membranes
        np.savez(self.folder / "recorded.npz", **arrays)
        outcome = self.outcome()
        (self.folder / "outcome.json").write_text(json.dumps(outcome), encoding="ascii")
        return outcome


def _last_step_differs(comparison: Comparison) -> bool:
    assert comparison.finished
    row = divmod(comparison.finished - 1, comparison.expected.shape[1])
    return not np.array_equal(comparison.expected[row], comparison.got[row])


def _cycle() -> int:
    return int(get_sim_time("ns")) // PERIOD_NS


@cocotb.test()
async def core(dut: Any) -> None:
    """Send the job's tokens and compare what comes out."""
    bench = CoreBench(dut, Path(os.environ[RUN_FOLDER]))
    await bench.run()
    outcome = bench.save()
    assert outcome["status"] == "done", outcome
