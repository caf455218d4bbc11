"""A recording from whatever file a camera's software wrote."""

from __future__ import annotations

from pathlib import Path

from ...hdl.errors import SampleError, quoted
from .aedat import FIRST_LINE, aedat_version, read_aedat2, read_aedat3
from .aedat4 import read_aedat4
from .events import Events, read_event_bytes, read_nmnist
from .prophesee import read_dat, read_raw

_AEDAT = {(2, 0): read_aedat2, (3, 1): read_aedat3, (4, 0): read_aedat4}
_SUFFIXES = {".dat": read_dat, ".raw": read_raw, ".bin": read_nmnist}


def read_events(path: str | Path) -> Events:
    """The events of a file of AEDAT 2.0, 3.1 or 4.0, Prophesee's .dat and .raw, and N-MNIST's .bin.

    AEDAT is known by its first line, the others by their suffix. Raises SampleError.
    """
    path = Path(path)
    version = aedat_version(read_event_bytes(path, FIRST_LINE))
    if version in _AEDAT:
        return _AEDAT[version](path)
    if version is not None:
        known = ", ".join(f"{major}.{minor}" for major, minor in _AEDAT)
        raise SampleError(f"AEDAT {known} are read: {quoted(str(path))} is AEDAT {version[0]}.{version[1]}")
    if path.suffix.lower() in (".aedat", ".aedat4"):
        raise SampleError(f"an AEDAT file begins with a line #!AER-DAT and its version: {quoted(str(path))} does not")
    if path.suffix.lower() not in _SUFFIXES:
        raise SampleError(f"events are .aedat, .aedat4 or {', '.join(_SUFFIXES)} files: got {quoted(str(path))}")
    return _SUFFIXES[path.suffix.lower()](path)
