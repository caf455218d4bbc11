"""Which serial ports there are, and which of them leads to a board with a build's design."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...hdl.errors import LineError, OptionError
from .exchange import Exchange
from .facts import LinkFacts
from .line import SerialLine

_PROBE_SECONDS = 0.5

BRIDGES = {
    0x0403: "FTDI",
    0x1A86: "WCH",
    0x10C4: "Silicon Labs",
    0x1D50: "OpenMoko",
    0x1209: "pid.codes",
    0x0D28: "DAPLink",
    0x067B: "Prolific",
    0x2E8A: "Raspberry Pi",
}
"""The USB vendors of the serial bridges on FPGA boards and of adapters; other devices are not written to."""


@dataclass(frozen=True)
class Port:
    """A serial port of a USB bridge."""

    device: str
    description: str


def usb_ports() -> Iterator[Port]:
    """The ports of known bridges, in order."""
    from serial.tools import list_ports

    for found in sorted(list_ports.comports(), key=lambda port: port.device):
        if found.vid in BRIDGES:
            yield Port(found.device, found.description or BRIDGES[found.vid])


def find_port(facts: LinkFacts) -> str:
    """The one port with a board that has the build's design. Raises LineError that says what every port has."""
    heard = {port.device: _ask(port, facts) for port in usb_ports()}
    right = [device for device, answer in heard.items() if answer is None]
    if len(right) == 1:
        return right[0]
    if right:
        raise LineError(f"--port auto takes the one board with the design: {', '.join(right)} have it; name one")
    if not heard:
        raise LineError(
            "a board is at a USB serial port: there is none; plug it in, or name a port (on Linux /dev/ttyUSB0)"
        )
    said = "; ".join(f"{device}: {answer}" for device, answer in heard.items())
    raise LineError(
        f"no port has a board with the design {facts.identity:04x}: {said}; write it to the board with spikeloom flash"
    )


def _ask(port: Port, facts: LinkFacts) -> str | None:
    """What is at a port, in a few words; None where it is the design."""
    try:
        with SerialLine(port.device, facts.baud) as line:
            found = Exchange(line, facts.form, _PROBE_SECONDS).identify()
    except OptionError as error:
        return str(error)
    except LineError:
        return f"no Spikeloom board ({port.description})"
    if found == facts.identity:
        return None
    return f"silent ({port.description})" if found is None else f"the design {found:04x} ({port.description})"
