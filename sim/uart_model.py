"""A host's UART, bit by bit, for simulations of a board top: 8 data bits, LSB first, no parity, one stop bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cocotb.triggers import FallingEdge, Timer

_DATA_BITS = 8


class FramingError(Exception):
    """A byte from the device without its stop bit, or a line of unknown level."""


def level_of(pin: Any) -> int:
    """The level of a pin that the device drives. Raises FramingError for one that is neither 0 nor 1."""
    value = pin.value
    try:
        return int(value)
    except ValueError:
        raise FramingError(f"the device's line is {value}") from None


class UartHost:
    """Drives the pin that the device receives on and listens to the pin that it sends on.

    `bit_ps` is the length of a bit in picoseconds.
    """

    def __init__(self, to_device: Any, from_device: Any, bit_ps: int) -> None:
        self._to_device = to_device
        self._from_device = from_device
        self._bit_ps = bit_ps
        to_device.value = 1

    async def send(self, byte: int, broken: bool = False) -> None:
        """Send a byte; a `broken` one has a stop bit of 0, after which the line rests for one bit."""
        await self._put(0)
        for bit in range(_DATA_BITS):
            await self._put(byte >> bit & 1)
        if broken:
            await self._put(0)
        await self._put(1)

    async def receive(self, on_byte: Callable[[int], None]) -> None:
        """Pass every byte from the device to `on_byte`. Raises FramingError."""
        while True:
            if level_of(self._from_device) == 1:
                await FallingEdge(self._from_device)
            await Timer(self._bit_ps // 2, "ps")
            if level_of(self._from_device) == 1:
                continue  # a glitch, no start bit
            byte = 0
            for bit in range(_DATA_BITS):
                await Timer(self._bit_ps, "ps")
                byte |= level_of(self._from_device) << bit
            await Timer(self._bit_ps, "ps")
            if level_of(self._from_device) == 0:
                raise FramingError(f"byte {byte:#04x} from the device has no stop bit")
            on_byte(byte)

    async def _put(self, level: int) -> None:
        self._to_device.value = level
        await Timer(self._bit_ps, "ps")
