"""A SPI flash for Amaranth's simulator: asleep at first, as an iCE40 leaves it, and without a command but two."""

from __future__ import annotations

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
