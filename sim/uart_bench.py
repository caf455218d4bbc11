"""The cocotb test bench of a board top, down to the pins of its UART or SPI; it runs inside the simulator, started by
`cocotb_runner`.

`uart_job.json` in the run folder holds the pins and the bytes to send, `uart_outcome.json` what the device answered.
"""

from __future__ import annotations

import json
import os
from collections import deque
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import Event, First, Timer

from ..hdl.link.protocol import END
from .cocotb_bench import RUN_FOLDER
from .spi_model import SpiHost
from .uart_model import FramingError, UartHost

_BITS_PER_BYTE = 10
_QUIET_BYTES = 8
"""How long to listen for what nobody asked for, in bytes."""


class UartBench:
    """Sends the job's transmissions, with no more unanswered words than the device has room for; keeps the answers."""

    def __init__(self, dut: Any, folder: Path) -> None:
        self.dut = dut
        self.job = json.loads((folder / "uart_job.json").read_text(encoding="ascii"))
        line = getattr(dut, self.job["rx"]), getattr(dut, self.job["tx"]), self.job["bit_ps"]
        spi = self.job["spi"]
        self.host = UartHost(*line) if spi is None else SpiHost(getattr(dut, spi[0]), getattr(dut, spi[1]), *line)
        self.received = bytearray()
        self.unanswered: deque[int] = deque()
        self.answered = Event()
        self.folder = folder

    async def run(self) -> dict[str, Any]:
        """What `uart_outcome.json` says."""
        for pin, level in self.job["held"].items():
            getattr(self.dut, pin).value = level
        if self.job["clock"] is not None:
            Clock(getattr(self.dut, self.job["clock"]), self.job["period_ps"], "ps", impl="gpi").start()
        await Timer(self.job["settle_ps"], "ps")
        listener = cocotb.start_soon(self.host.receive(self._take))
        talker = cocotb.start_soon(self._talk())
        problem = ""
        try:
            await First(listener, talker)
        except (FramingError, TimeoutError) as error:
            problem = str(error)
        listener.cancel()
        talker.cancel()
        return {"problem": problem, "received": self.received.hex()}

    async def _talk(self) -> None:
        for number, transmission in enumerate(self.job["transmissions"]):
            await self._until_answered(self.job["credit"] - transmission["words"], number)
            words = [transmission["words"], *[0] * (transmission["replies"] - 1)]
            self.unanswered += reversed(words[: transmission["replies"]])  # which are free with the last reply
            broken = set(transmission["broken"])
            for index, byte in enumerate(bytes.fromhex(transmission["data"])):
                await self.host.send(byte, broken=index in broken)
            self._report(transmission["sample"])
        await self._until_answered(0, len(self.job["transmissions"]))
        self._report(self.job["transmissions"][-1]["sample"] + 1)
        await Timer(_QUIET_BYTES * _BITS_PER_BYTE * self.job["bit_ps"], "ps")

    def _report(self, samples: int) -> None:
        (self.folder / "progress").write_text(str(samples), encoding="ascii")

    async def _until_answered(self, words: int, number: int) -> None:
        """Wait until no more than `words` are unanswered. Raises TimeoutError when no answer comes."""
        while sum(self.unanswered) > words:
            self.answered.clear()
            patience = Timer(self.job["patience_ps"], "ps")
            if await First(self.answered.wait(), patience) is patience:
                raise TimeoutError(f"no reply to transmission {number - len(self.unanswered)}: the device is silent")

    def _take(self, byte: int) -> None:
        self.received.append(byte)
        if len(self.received) > self.job["most_bytes"]:
            raise FramingError(f"the device goes on after {self.job['most_bytes']} bytes, more than all replies have")
        self.answered.set()
        if byte == END and self.unanswered:
            self.unanswered.popleft()


@cocotb.test()
async def board(dut: Any) -> None:
    """Send the job's bytes and keep the answers."""
    bench = UartBench(dut, Path(os.environ[RUN_FOLDER]))
    outcome = await bench.run()
    (bench.folder / "uart_outcome.json").write_text(json.dumps(outcome), encoding="ascii")
    assert not outcome["problem"], outcome["problem"]
