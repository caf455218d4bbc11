"""Samples from whatever file holds them: NumPy's `.npz`, or NIR's exchange of spikes."""

from __future__ import annotations

from pathlib import Path

from ...hdl.errors import SampleError
from ...hdl.images.coding import ImageCoding
from ..data.samples import Samples, load_samples
from ..ir.network import Network

_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_samples(
    path: str | Path, network: Network, *, coding: ImageCoding | None = None, of_steps: bool = False
) -> Samples:
    """The samples in `path`: HDF5 by `read_exchange`, anything else by `load_samples`, whose errors these are."""
    if not _is_hdf5(Path(path)):
        return load_samples(path, network, coding=coding, of_steps=of_steps)
    if coding is not None:
        raise SampleError(f"images come as an .npz file: {path} holds spikes; leave out --encoder")
    from .nir.exchange import read_exchange

    return read_exchange(path, network)


def _is_hdf5(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(_HDF5)) == _HDF5
    except OSError:
        return False  # `load_samples` says what is wrong with it
