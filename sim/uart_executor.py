"""A board top simulated down to the pins of its UART or SPI: samples travel as a host would send them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..compiler.ir.arrays import IntArray
from ..compiler.ir.network import Network
from ..hdl.emit.emit import board_cells_sim, cells_sim, models_beside
from ..hdl.errors import MismatchError
from ..hdl.link.protocol import Code, Frame, LinkError, LinkFormat, Reply, ReplyDecoder, encode_sample, longest_content
from ..hdl.neurons.readout import ReadoutFormat
from .cocotb_runner import Bench, require_simulator, run_bench
from .divergence import check_output
from .inputs import checked_spikes
from .limits import hang_cycles
from .recording import PopulationRecording, Recording
from .verilog_executor import run_folder

_MODULE = "spikeloom.sim.uart_bench"
_OUTCOME = "uart_outcome.json"
_BOOT_CYCLES = 100
"""Clock cycles before the host speaks, on top of the reset: a PLL locks."""


@dataclass(frozen=True, kw_only=True)
class UartTop:
    """A board top's Verilog file, its module and pins, and the clock cycles of a bit on its line.

    `clock` is the clock pin, or None where the device's own oscillator runs at `clock_hz`. A PLL passes its input
    through in simulation, so that the design runs at the pin's frequency, whatever the PLL makes of it in hardware.
    `reset_cycles` is how long the design holds itself in reset; up to twice that is waited for. `held` are other
    input pins and their levels, a reset button for one. `flash` are the pins to the weights, where there are some.
    With `spi`, its pins for selection and clock, `rx` and `tx` are COPI and CIPO.
    """

    verilog: Path
    top: str
    clock: str | None
    clock_hz: float
    rx: str
    tx: str
    clocks_per_bit: float
    reset_cycles: int
    held: Mapping[str, int] = field(default_factory=dict)
    family: str = "ice40"
    flash: FlashPins | None = None
    spi: tuple[str, str] | None = None

    @property
    def settle_cycles(self) -> int:
        """Clock cycles before a host may speak."""
        return 2 * self.reset_cycles + _BOOT_CYCLES


@dataclass(frozen=True, kw_only=True)
class FlashPins:
    """The pins of a board top that lead to the flash with its weights; `cs` is 0 on a board, or 1, while it is
    selected. `load_cycles` is how long a design is without its weights at most where they are there."""

    cs: str
    sck: str
    copi: str
    cipo: str
    active_low: bool
    load_cycles: int


@dataclass(frozen=True, kw_only=True)
class Transmission:
    """Bytes to the device. `broken` bytes lose their stop bit; `replies` is how many answers they should bring.

    `words` is the room that they take in the device until answered; `sample` counts for the progress.
    """

    data: bytes
    broken: tuple[int, ...] = ()
    words: int = 0
    replies: int = 1
    sample: int = 0

    @classmethod
    def of(cls, frame: Frame, sample: int = 0) -> Transmission:
        """A whole frame."""
        return cls(data=frame.data, words=frame.words, replies=frame.replies, sample=sample)


def run_through_uart(
    top: UartTop,
    network: Network,
    spikes: npt.NDArray[Any],
    form: LinkFormat,
    *,
    simulator: str = "icarus",
    progress: Callable[[int, int], None] | None = None,
) -> Recording:
    """The output spikes of `network` on `spikes` [samples, steps, inputs], through the pins of its board top.

    Only the output population is recorded; of a device with a readout its `readings`, whose classes are held against
    those that it names. Raises SampleError, ToolError, and MismatchError where the device is silent,
    refuses a frame, or answers something else than a step per step.
    """
    inputs = checked_spikes(network, spikes)
    frames = [(number, frame) for number, sample in enumerate(inputs) for frame in encode_sample(form, sample)]
    transmissions = [Transmission.of(frame, sample) for sample, frame in frames]
    replies = exchange(
        top, transmissions, form, patience_cycles=hang_cycles(network), simulator=simulator, progress=progress
    )
    for number, reply in enumerate(replies):
        if reply.code is Code.ERROR:
            raise MismatchError(f"the device refused frame {number}: {reply.reason!r}")
    answers = [reply for reply in replies if reply.code is not Code.ACCEPTED]
    shape = (*inputs.shape[:2], form.outputs)
    if len(answers) != shape[0] * shape[1]:
        raise MismatchError(
            f"the device must answer every step: {shape[0] * shape[1]} were sent, {len(answers)} answered"
        )
    recorded = np.zeros((len(answers), form.outputs), np.uint8)
    if form.readout is not None:
        silent = PopulationRecording(spikes=recorded.reshape(shape))
        recording = Recording.of(network, {network.output: silent})
        return replace(recording, readings=_readings(answers, form.readout, shape))
    for step, reply in zip(recorded, answers, strict=True):
        np.add.at(step, list(reply.spikes), 1)
    return Recording.of(network, {network.output: PopulationRecording(spikes=recorded.reshape(shape))})


def _readings(answers: Sequence[Reply], form: ReadoutFormat, shape: tuple[int, int, int]) -> IntArray:
    """The readings of every step, 0 in steps without. Raises MismatchError for others than are due."""
    _, steps, outputs = shape
    recorded = np.zeros((len(answers), outputs), np.int64)
    for number, reply in enumerate(answers):
        sample, step = divmod(number, steps)
        last = step == steps - 1
        due = outputs if form.every_step or last else 0
        where = f"sample {sample}, step {step}"
        if len(reply.readings) != due:
            raise MismatchError(f"{where}: the device must answer {due} readings, got {len(reply.readings)}")
        recorded[number, :due] = reply.readings
        if form.names_class and last and reply.predicted != int(np.argmax(recorded[number])):
            raise MismatchError(
                f"{where}: class expected {int(np.argmax(recorded[number]))} by the device's own readings, got "
                f"{reply.predicted}"
            )
    return recorded.reshape(shape)


def check_host(form: LinkFormat, network: Network, expected: Recording, got: Recording) -> None:
    """What a host got must be what the reference gives; raises MismatchError with the first divergence."""
    given = None if got.readings is None else (got.readings, None)  # a class is held against the readings already
    check_output(network, form.readout, expected.populations[network.output], got.spikes, given)


def exchange(
    top: UartTop,
    transmissions: Sequence[Transmission],
    form: LinkFormat,
    *,
    patience_cycles: int = 10_000,
    simulator: str = "icarus",
    progress: Callable[[int, int], None] | None = None,
) -> list[Reply]:
    """Send transmissions to a board top and return the device's replies, in order.

    Raises ToolError, and MismatchError where the device stays silent for `patience_cycles` beyond the length of a
    reply, says more than all replies can, or where its bytes are no replies.
    """
    require_simulator(simulator)
    period_ps = 2 * round(0.5e12 / top.clock_hz)
    bit_ps = round(period_ps * top.clocks_per_bit)
    longest_reply_bytes = 2 * (longest_content(form) + 8)
    longest_reply = longest_reply_bytes * 10 * bit_ps
    job = {
        "clock": top.clock,
        "period_ps": period_ps,
        "held": dict(top.held),
        "rx": top.rx,
        "tx": top.tx,
        "spi": top.spi,
        "bit_ps": bit_ps,
        "settle_ps": top.settle_cycles * period_ps,
        "patience_ps": patience_cycles * period_ps + longest_reply,
        "credit": form.fifo_words - 1,
        "most_bytes": (sum(item.replies for item in transmissions) + 1) * longest_reply_bytes,
        "transmissions": [{**vars(item), "data": item.data.hex()} for item in transmissions],
    }
    with run_folder() as work:
        (work / "uart_job.json").write_text(json.dumps(job), encoding="ascii")
        bench = Bench(sources=_sources(top, work), top=top.top, module=_MODULE, defines=cells_sim(top.family).defines)
        total = transmissions[-1].sample + 1
        run_bench(bench, work, simulator=simulator, outcome=_OUTCOME, total=total, progress=progress)
        outcome = json.loads((work / _OUTCOME).read_text(encoding="ascii"))
    if outcome["problem"]:
        raise MismatchError(f"{_line(top)}: {outcome['problem']}")
    return _decode(top, form, bytes.fromhex(outcome["received"]))


def _sources(top: UartTop, work: Path) -> list[Path]:
    """The top and the models of its cells, with ours of the cells at the pins in place of others of their names."""
    ours = board_cells_sim(top.family)
    cells = work / "cells.v"
    cells.write_text(models_beside(ours, cells_sim(top.family).sources), encoding="utf-8")
    return [top.verilog, cells, ours]


def _line(top: UartTop) -> str:
    return "UART" if top.spi is None else "SPI"


def _decode(top: UartTop, form: LinkFormat, received: bytes) -> list[Reply]:
    decoder = ReplyDecoder(form)
    try:
        replies = [decoder.feed(byte) for byte in received]
    except LinkError as error:
        raise MismatchError(f"{_line(top)}: {error}") from None
    return [reply for reply in replies if reply is not None]
