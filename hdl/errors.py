"""The errors that Spikeloom raises on purpose.

Every message states the rule first, then the offending value, then what to do about it. `exit_status` is what the
command line returns: 2 for a mistake that the user can mend, 1 for a tool that failed or spikes that differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from itertools import islice
from pathlib import Path


class SpikeloomError(Exception):
    """Base of every deliberate error."""

    exit_status = 1


class InputError(SpikeloomError):
    """Something the user gave is wrong: a file, a value, an option."""

    exit_status = 2


class ModelError(InputError):
    """A network that breaks a rule of the IR, or uses what Spikeloom does not support."""


class SampleError(InputError):
    """Samples or labels that do not suit the network."""


class OptionError(InputError):
    """An option out of range, unknown, or in contradiction with another."""


class CapacityError(InputError):
    """A design that needs more of a resource than the device has."""


class ToolError(SpikeloomError):
    """An external tool is missing, was killed or failed.

    `log` is the file with the tool's own words, where there is one.
    """

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message if log is None else f"{message}; see {log}")
        self.log = log


class TimingError(ToolError):
    """A design that does not reach the clock that was asked for; `fmax_mhz` is what it reaches."""

    exit_status = 2

    def __init__(self, message: str, log: Path | None = None, *, fmax_mhz: float) -> None:
        super().__init__(message, log)
        self.fmax_mhz = fmax_mhz


class LineError(SpikeloomError):
    """The board at the other end of a line does not answer, or not as its build would."""


class MismatchError(SpikeloomError):
    """Two executors disagree; the message is the first divergence."""


def installing(extra: str) -> str:
    """How to install what an optional part of Spikeloom needs."""
    return f"pip install '.[{extra}]' in Spikeloom's checkout"


def quoted(name: object) -> str:
    """A node's name as messages show it: its repr, shortened in the middle, on one line."""
    text = repr(name)
    return text if len(text) <= 60 else f"{text[:40]}...{text[-17:]}"


def plain(name: str) -> str:
    """The name of a file or of something in one, as messages show it: as it is, or `quoted` where it is odd or long."""
    return name if re.fullmatch(r"[\w./-]{1,60}", name) else quoted(name)


def listed(names: Collection[str], form: Callable[[str], str] = quoted, most: int = 8) -> str:
    """Names as messages list them: the first `most` of them in that `form`, and how many more there are."""
    shown = ", ".join(form(name) for name in islice(names, most))
    return shown + (f" and {len(names) - most:,} more" if len(names) > most else "")
