"""The way to a board's flash through its FTDI chip, by pyftdi (BSD-3-Clause, an optional package).

As iceprog has it: clock, data out and data in at the pins 0 to 2, chip select at 4, the FPGA's reset at 7 of the chip's
first channel. While the FPGA is held in reset it leaves the flash alone.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from ...hdl.errors import ToolError, installing
from .plan import UDEV, advice

_SELECT = 1
_RESET = 1 << 7
_HZ = 6e6
_MOST_BYTES = 32 << 10


class FtdiPort:
    """`with FtdiPort(url) as port`: a `SpiPort` while the FPGA is in reset; it starts from flash afterwards."""

    def __init__(self, url: str) -> None:
        """Raises ToolError where pyftdi, the chip or the rights to it are missing."""
        try:
            from pyftdi.spi import SpiController
        except ImportError:
            raise ToolError(f"a package is missing: pyftdi; {installing('flash')}") from None
        self._controller: Any = SpiController(cs_count=_SELECT + 1)
        try:
            self._controller.configure(url, frequency=_HZ)
            self._port = self._controller.get_port(cs=_SELECT, freq=_HZ, mode=0)
            self._gpio = self._controller.get_gpio()
            self._gpio.set_direction(_RESET, _RESET)
            self._gpio.write(0)
        except Exception as error:  # of pyftdi, pyusb and their back ends, which share no class
            self._controller.close()
            hint = advice(str(error)) or f"; plug the board in, or give yourself the rights: {UDEV}"
            raise ToolError(f"an FTDI chip must be there: {url}: {error}{hint}") from None

    def exchange(self, out: bytes, count: int = 0) -> bytes:
        """See `SpiPort`."""
        try:
            return bytes(self._port.exchange(out, count))
        except OSError as error:
            raise ToolError(f"the board must stay plugged in: {error}; plug it in and flash it again") from None

    def close(self) -> None:
        """Let the FPGA go, which then configures itself from flash."""
        self._gpio.write(_RESET)
        self._controller.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
