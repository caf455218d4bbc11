"""SPI flashes: one for Amaranth's simulator, asleep at first, as an iCE40 leaves it, and without a command but two; and
one that is written, command by command."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

RELEASE, READ = 0xAB, 0x03
COMMAND_BITS = 32


class SpiFlash:
    """Serves `contents` to a loader's pins, beyond them 0xFF; mode 0.

    It wakes `wake_cycles` clock cycles after the release command, ignores everything before that, and ignores the first
    `deaf` release commands. `commands` records what it heard.
    """

    def __init__(self, contents: bytes, *, wake_cycles: int = 0, deaf: int = 0) -> None:
        self.contents = contents
        self.commands: list[bytes] = []
        self._wake_cycles = wake_cycles
        self._deaf = deaf
        self._awake_in: int | None = None
        self._command = 0
        self._bits = 0

    def process(self, loader: Any) -> Callable[[Any], Awaitable[None]]:
        """The simulator's process beside `loader`'s pins."""

        async def serve(ctx: Any) -> None:
            sck_before, cs_before = 0, 0
            async for *_, cs, sck, copi in ctx.tick().sample(loader.cs, loader.sck, loader.copi):
                if self._awake_in:
                    self._awake_in -= 1
                if cs and sck and not sck_before:
                    self._rise(copi)
                if cs and sck_before and not sck:
                    ctx.set(loader.cipo, self._bit())
                if cs_before and not cs:
                    self._deselect()
                sck_before, cs_before = sck, cs

        return serve

    def _rise(self, copi: int) -> None:
        if self._bits < COMMAND_BITS:
            self._command = self._command << 1 | copi
        self._bits += 1

    def _bit(self) -> int:
        if self._awake_in != 0 or self._bits < COMMAND_BITS or self._command >> 24 != READ:
            return 1
        address, bit = divmod(self._bits - COMMAND_BITS, 8)
        address += self._command & 0xFFFFFF
        return self.contents[address] >> (7 - bit) & 1 if address < len(self.contents) else 1

    def _deselect(self) -> None:
        self.commands.append(self._command.to_bytes(min(self._bits, COMMAND_BITS) // 8, "big"))
        self._bits, self._command = 0, 0
        if self.commands[-1] == bytes([RELEASE]) and self._awake_in is None:
            if self._deaf == 0:
                self._awake_in = self._wake_cycles
            self._deaf -= 1


class PowerLostError(Exception):
    """The power went while a command was at work."""


class WritableFlash:
    """A flash that is written as `spikeloom.boards.flash.spi_flash` does: erased bits are 1, programming clears them.

    `lose_power_after` so many commands that change something the power goes, in the middle of the next one: of what it
    was to change any part is done. `stuck` bytes keep the value that they have.
    """

    def __init__(self, contents: bytes, *, identity: bytes = b"\xef\x40\x14", seed: int = 1) -> None:
        self.contents = bytearray(contents)
        self.awake = False
        self.status = 0
        self.busy, self.busy_after = 0, 3
        self.lose_power_after: int | None = None
        self.stuck: frozenset[int] = frozenset()
        self.deaf_to_write_enable = False
        self.changes: list[tuple[int, int]] = []
        self._identity = identity
        self._random = random.Random(seed)

    def exchange(self, out: bytes, count: int = 0) -> bytes:
        command, address = out[0], int.from_bytes(out[1:4], "big")
        if command == 0xAB:
            self.awake = True
        if not self.awake:
            return b"\xff" * count
        if command == 0x05:
            self.busy -= self.busy > 0
            return bytes([self.status | (self.busy > 0)]) * count
        assert not self.busy, "a flash hears nothing while it is busy"
        if command == 0x9F:
            return self._identity[:count]
        if command == 0x03:
            return bytes(self.contents[address : address + count])
        if command == 0x06 and not self.deaf_to_write_enable:
            self.status |= 2
        if command in (0x01, 0x02, 0x20, 0xD8):
            assert self.status & 2, "nothing changes without leave"
            self.changes.append((command, address))
            self._change(command, address, out)
            self.status &= ~2
            self.busy = self.busy_after
        return b""

    def _change(self, command: int, address: int, out: bytes) -> None:
        if command == 0x01:
            self.status = out[1]
            return
        assert not self.status & 0x3C, "protected"
        if command == 0x02:
            page = address & ~0xFF
            places = [page + (address + k) % 256 for k in range(len(out) - 4)]
            values = [self.contents[place] & value for place, value in zip(places, out[4:], strict=True)]
        else:
            size = {0x20: 4 << 10, 0xD8: 64 << 10}[command]
            start = address & ~(size - 1)
            places, values = list(range(start, start + size)), [0xFF] * size
        lost = self.lose_power_after == 0
        for place, value in zip(places, values, strict=True):
            if place not in self.stuck and not (lost and self._random.random() < 0.5):
                self.contents[place] = value
        if self.lose_power_after is not None:
            self.lose_power_after -= 1
        if lost:
            self.awake, self.status, self.busy, self.lose_power_after = False, 0, 0, None
            raise PowerLostError
