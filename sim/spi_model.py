"""A host's SPI, bit by bit, for simulations of a board top: mode 0, the most significant bit first, without a pause."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from cocotb.triggers import Event, Timer

from ..hdl.link.protocol import END, ESCAPE
from ..hdl.link.spi import STUFFED
from .uart_model import level_of

_REST_BITS = 2
"""How long the device is selected before the first edge, in bits."""


class SpiHost:
    """Drives selection, clock and the pin that the device receives on, and listens to the pin that it sends on.

    It has the methods of `UartHost`. `bit_ps` is the length of a bit in picoseconds.
    """

    def __init__(self, selection: Any, clock: Any, to_device: Any, from_device: Any, bit_ps: int) -> None:
        self._selection, self._clock = selection, clock
        self._to_device, self._from_device = to_device, from_device
        self._bit_ps = bit_ps
        self._waiting: deque[int] = deque()
        self._gone = Event()
        selection.value, clock.value, to_device.value = 1, 0, 0

    async def send(self, byte: int, broken: bool = False) -> None:
        """Have a byte sent, and return once it is under way. Raises ValueError for a `broken` one: SPI has none."""
        if broken:
            raise ValueError("a byte by SPI has no stop bit to lose")
        self._waiting.append(byte)
        self._gone.clear()
        while self._waiting:
            await self._gone.wait()
            self._gone.clear()

    async def receive(self, on_byte: Callable[[int], None]) -> None:
        """Exchange bytes, and pass those from the device that mean something to `on_byte`. Raises FramingError."""
        await Timer(self._bit_ps // 24, "ps")  # away from the edges of the device's clock
        self._selection.value = 0
        await Timer(_REST_BITS * self._bit_ps, "ps")
        within = escaping = False
        while True:
            byte = await self._exchanged(self._next())
            if escaping and byte != STUFFED:
                on_byte(ESCAPE)
                on_byte(byte)
            elif not escaping and byte != ESCAPE and (within or byte != END):
                on_byte(byte)
            escaping, within = not escaping and byte == ESCAPE, byte != END

    def _next(self) -> int:
        """The byte to send, of which the sender hears at once so that the next one follows without an END between."""
        self._gone.set()
        return self._waiting.popleft() if self._waiting else END

    async def _exchanged(self, byte: int) -> int:
        """The byte that comes while this one goes."""
        found, half = 0, self._bit_ps // 2
        for bit in range(7, -1, -1):
            self._to_device.value = byte >> bit & 1
            await Timer(half, "ps")
            found = found << 1 | level_of(self._from_device)
            self._clock.value = 1
            await Timer(self._bit_ps - half, "ps")
            self._clock.value = 0
        return found
