"""Writing a SPI flash: identify it, erase and program what differs, read all of it back.

The commands are those that every 25-series flash of 64 KiB to 16 MiB shares (JEDEC JESD216 names them): wake 0xAB,
identify 0x9F, status 0x05 and 0x01, write enable 0x06, read 0x03, program a page 0x02, erase 4 KiB 0x20, 64 KiB 0xD8.
What was interrupted is mended by doing it again: only what differs from the image is touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ...hdl.errors import ToolError

PAGE_BYTES = 256
SECTOR_BYTES = 4 << 10
BLOCK_BYTES = 64 << 10

_WAKE, _IDENTIFY, _STATUS, _WRITE_STATUS, _WRITE_ENABLE = 0xAB, 0x9F, 0x05, 0x01, 0x06
_READ, _PROGRAM, _ERASE_SECTOR, _ERASE_BLOCK = 0x03, 0x02, 0x20, 0xD8
_BUSY, _WRITE_ENABLED, _PROTECTED = 0x01, 0x02, 0x3C

_SECONDS = {_PROGRAM: 0.1, _ERASE_SECTOR: 4.0, _ERASE_BLOCK: 8.0, _WRITE_STATUS: 1.0}
"""More than a command takes in any data sheet."""

_READ_BYTES = 16 << 10
_ATTEMPTS = 2

_MAKERS = {0xEF: "Winbond", 0x20: "Micron", 0xC2: "Macronix", 0x9D: "ISSI", 0x1F: "Adesto", 0xC8: "GigaDevice"}


class SpiPort(Protocol):
    """A way to a flash."""

    def exchange(self, out: bytes, count: int = 0) -> bytes:
        """Select the flash, send `out`, take `count` bytes, and let it go."""


@dataclass(frozen=True)
class FlashChip:
    """What a flash says it is: maker, type and size in bytes."""

    maker: int
    kind: int
    size: int

    def __str__(self) -> str:
        name = _MAKERS.get(self.maker, f"maker {self.maker:02x}")
        return f"{name} {self.kind:02x}, {self.size >> 10:,} KiB"


@dataclass(frozen=True)
class Written:
    """What was done: sectors that differed, sectors that were erased for it, pages that were programmed."""

    sectors: int
    erased: int
    pages: int


class SpiFlash:
    """A flash behind a port."""

    def __init__(self, port: SpiPort, sleep: Callable[[float], None] = time.sleep) -> None:
        """Wakes and identifies it. Raises ToolError where there is none that this knows."""
        self._port = port
        self._sleep = sleep
        port.exchange(bytes([_WAKE]))
        sleep(1e-4)
        self.chip = self._identify()

    def _identify(self) -> FlashChip:
        maker, kind, capacity = self._port.exchange(bytes([_IDENTIFY]), 3)
        if {maker, kind, capacity} <= {0x00} or {maker, kind, capacity} <= {0xFF}:
            raise ToolError(f"a flash says what it is: nothing but {maker:02x} comes; is the board powered and free?")
        if not 16 <= capacity <= 24:
            raise ToolError(
                f"a flash has 64 KiB to 16 MiB: this says {maker:02x} {kind:02x} {capacity:02x}; take another tool"
            )
        return FlashChip(maker, kind, 1 << capacity)

    def read(self, offset: int, count: int) -> bytes:
        """Bytes from `offset` on."""
        data = bytearray()
        while len(data) < count:
            data += self._port.exchange(_command(_READ, offset + len(data)), min(_READ_BYTES, count - len(data)))
        return bytes(data)

    def differing(self, image: bytes, offset: int = 0) -> list[tuple[int, bytes, bytes]]:
        """The sectors that would change: where, what is there, and what it would become with `image` at `offset`.

        What lies in a sector beside the image stays. Raises ToolError where the image is larger than the flash.
        """
        if offset + len(image) > self.chip.size:
            raise ToolError(
                f"an image fits its flash: {offset + len(image):,} bytes do not go into {self.chip}; is it for it?"
            )
        start = offset - offset % SECTOR_BYTES
        end = -(-(offset + len(image)) // SECTOR_BYTES) * SECTOR_BYTES
        there = self.read(start, end - start)
        wanted = there[: offset - start] + image + there[offset - start + len(image) :]
        places = range(0, end - start, SECTOR_BYTES)
        pairs = [(start + k, there[k : k + SECTOR_BYTES], wanted[k : k + SECTOR_BYTES]) for k in places]
        return [(place, old, new) for place, old, new in pairs if old != new]

    def unprotect(self) -> None:
        """Clear the protection of all blocks. Raises ToolError where it stays."""
        self._change(bytes([_WRITE_STATUS, 0]))
        self._require_unprotected("it stays so, by a pin or for good")

    def write(self, image: bytes, offset: int = 0, progress: Callable[[int, int], None] | None = None) -> Written:
        """Put `image` at `offset`, and read it back.

        Raises ToolError for a flash that is protected or does not keep what is written. Whatever interrupts it, the
        next call mends it, but for bytes beside the image in the sector that was being erased.
        """
        sectors = self.differing(image, offset)
        if sectors:
            self._require_unprotected("write with --unprotect")
        erased = pages = 0
        whole = {place for place, old, new in sectors if _needs_erasing(old, new)}
        for place in _blocks(whole, self.chip.size):
            self._change(_command(_ERASE_BLOCK, place))
        in_blocks = {sector for place in _blocks(whole, self.chip.size) for sector in _sectors(place)}
        for number, (place, old, new) in enumerate(sectors):
            if place in whole:
                erased += 1
                old = bytes([0xFF]) * SECTOR_BYTES
                if place not in in_blocks:
                    self._change(_command(_ERASE_SECTOR, place))
            pages += self._program(place, old, new)
            if progress is not None:
                progress(number + 1, len(sectors))
        if self.read(offset, len(image)) != image:
            raise ToolError("a flash keeps what is written: what was read back differs; it is worn or the line is bad")
        return Written(len(sectors), erased, pages)

    def _program(self, place: int, old: bytes, new: bytes) -> int:
        """Program the pages of a sector that differ, and read it back; how many they were."""
        pages = [k for k in range(0, SECTOR_BYTES, PAGE_BYTES) if old[k : k + PAGE_BYTES] != new[k : k + PAGE_BYTES]]
        for _ in range(_ATTEMPTS):
            for k in pages:
                self._change(_command(_PROGRAM, place + k) + new[k : k + PAGE_BYTES])
            if self.read(place, SECTOR_BYTES) == new:
                return len(pages)
        raise ToolError(
            f"a flash keeps what is written: the sector at {place:#x} does not; it is worn or the line is bad"
        )

    def _change(self, command: bytes) -> None:
        """A command that changes something, until it is done. Raises ToolError where it never is."""
        self._port.exchange(bytes([_WRITE_ENABLE]))
        if not self._status() & _WRITE_ENABLED:
            raise ToolError("a flash allows writing when it is told to: this one does not; it is protected by a pin")
        self._port.exchange(command)
        waited, pause = 0.0, 1e-4
        while self._status() & _BUSY:
            if waited > _SECONDS[command[0]]:
                raise ToolError(f"a flash finishes: command {command[0]:02x} took more than {waited:.0f} s")
            self._sleep(pause)
            waited, pause = waited + pause, min(2 * pause, 0.05)

    def _require_unprotected(self, hint: str) -> None:
        status = self._status()
        if status & _PROTECTED:
            raise ToolError(f"a flash must allow writing: its status {status:02x} protects blocks of it; {hint}")

    def _status(self) -> int:
        return self._port.exchange(bytes([_STATUS]), 1)[0]


def _command(code: int, address: int) -> bytes:
    return bytes([code]) + address.to_bytes(3, "big")


def _needs_erasing(old: bytes, new: bytes) -> bool:
    """Programming clears bits; what sets one needs an erasure."""
    return int.from_bytes(old, "big") & int.from_bytes(new, "big") != int.from_bytes(new, "big")


def _sectors(block: int) -> range:
    return range(block, block + BLOCK_BYTES, SECTOR_BYTES)


def _blocks(sectors: set[int], size: int) -> Iterator[int]:
    """The blocks whose sectors are all to be erased, which takes a fifth of the time."""
    return (block for block in range(0, size, BLOCK_BYTES) if all(sector in sectors for sector in _sectors(block)))
