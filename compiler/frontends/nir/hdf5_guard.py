"""Check an HDF5 file before anything is read out of it.

An HDF5 file can make its reader open other files (external links, external storage, virtual data sets), walk in
circles (links), allocate far more than the file holds (declared but never stored data, compression bombs, strings
that share one stored copy) or never return (damaged heaps). `open_checked` refuses all of that. Every check looks at
the file's own tables, and the same bytes in memory are then read, so that nothing can be exchanged in between.
Attributes are not read here.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5d, h5o, h5s, h5z

from ....hdl.errors import InputError, quoted
from ....hdl.files import open_regular
from .hdf5_heap import REFERENCE_BYTES, read_strings

MAX_BYTES = 256 << 20
"""What all data sets of a file may declare together; the largest supported FPGA holds less than 1 MiB of weights."""

SLACK_BYTES = 16 << 20
MAX_EXPANSION = 100
"""A file may declare up to `SLACK_BYTES + MAX_EXPANSION * its size`; pruned weights compress about 20-fold."""

MAX_OBJECTS = 100_000
MAX_CHUNKS = 100_000
MAX_DEPTH = 32

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FILTERS = {h5z.FILTER_DEFLATE: "gzip", h5z.FILTER_SHUFFLE: "shuffle", h5z.FILTER_FLETCHER32: "fletcher32"}
_CHECKSUM_BYTES = 4


@dataclass
class _Budget:
    """What the file has used up of its limits."""

    file_bytes: int
    declared: int = 0
    objects: int = 0
    chunks: int = 0
    seen: set[int] = field(default_factory=set)

    @property
    def limit(self) -> int:
        return min(MAX_BYTES, SLACK_BYTES + MAX_EXPANSION * self.file_bytes)


@dataclass(frozen=True)
class CheckedFile:
    """An HDF5 file that passed every check: its groups under `root`, its bytes in `image`."""

    root: h5py.File
    image: bytes

    def array(self, dataset: h5py.Dataset) -> npt.NDArray[Any]:
        """A numeric data set as a NumPy array, scalars with shape (); InputError for text."""
        if dataset.dtype.kind not in "biuf":
            raise InputError(f"numbers are expected: {quoted(dataset.name)} holds text; write the file again")
        with library_errors(dataset.name):
            return np.asarray(dataset[()])

    def text(self, dataset: h5py.Dataset) -> str:
        """A scalar string; InputError where it is none or not UTF-8."""
        if dataset.dtype.kind not in "OS" or dataset.shape != ():
            raise InputError(f"a string is expected: {quoted(dataset.name)} holds none; write the file again")
        return self._strings(dataset)[0]

    def text_rows(self, dataset: h5py.Dataset) -> list[tuple[str, ...]]:
        """The rows of a two-dimensional array of strings; InputError where it is none or not UTF-8."""
        if dataset.dtype.kind not in "OS" or len(dataset.shape) != 2:
            raise InputError(f"rows of strings are expected: {quoted(dataset.name)} has none; write the file again")
        strings, width = self._strings(dataset), dataset.shape[1]
        return [tuple(strings[i : i + width]) for i in range(0, len(strings), width)]

    def _strings(self, dataset: h5py.Dataset) -> list[str]:
        with library_errors(dataset.name):
            if dataset.dtype.kind == "S":
                values = np.asarray(dataset[()]).reshape(-1).tolist()
            elif dataset.size == 0:
                values = []
            else:
                values = read_strings(self.image, dataset.id.get_offset(), dataset.size)
            return [value.decode("utf-8") for value in values]


@contextmanager
def open_checked(path: str | Path) -> Iterator[CheckedFile]:
    """Read an HDF5 file into memory and open it, once it has passed every check.

    InputError for every broken rule of this module and for whatever the HDF5 library objects to.
    """
    path = Path(path)
    image = _read_image(path)
    with library_errors(str(path)):
        root = h5py.File(io.BytesIO(image), "r")
    with root:
        with library_errors(str(path)):
            _check_groups(root, _Budget(len(image)))
        yield CheckedFile(root, image)


@contextmanager
def library_errors(name: str) -> Iterator[None]:
    """Turn what h5py raises about a file that it cannot read, text that is not UTF-8 included, into an InputError."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise InputError(
            f"the file is damaged: {quoted(name)} cannot be read ({_one_line(error)}); write it again with nir.write"
        ) from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


# ---------------------------------------------------------------------------------------------------- the file


def _read_image(path: Path) -> bytes:
    shown = quoted(str(path))
    try:
        if not path.exists():
            raise InputError(f"the file must exist: {shown} does not; check the path")
        if not path.is_file():
            raise InputError(f"a NIR model is a file: {shown} is a folder or a device; name the .nir file")
        with open_regular(path, "a NIR model", MAX_BYTES) as file:
            image = file.read(len(_SIGNATURE))
            if image == _SIGNATURE:
                image += file.read(MAX_BYTES)
    except (OSError, ValueError) as error:
        raise InputError(f"the file must be readable: {shown} is not ({_one_line(error)}); check the path") from error
    if not image.startswith(_SIGNATURE):
        raise InputError(f"a NIR model is an HDF5 file: {shown} is none; write it with nir.write")
    if len(image) > MAX_BYTES:
        raise InputError(f"a NIR file has at most {MAX_BYTES} bytes: {shown} has more; is it really a model?")
    return image


# -------------------------------------------------------------------------------------------------- the objects


def _check_groups(root: h5py.File, budget: _Budget) -> None:
    stack: list[tuple[h5py.Group, int]] = [(root, 0)]
    _check_object(root, budget)
    while stack:
        group, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise InputError(f"groups nest at most {MAX_DEPTH} deep: {quoted(group.name)} is deeper; flatten the graph")
        if budget.objects + len(group) > MAX_OBJECTS:
            raise InputError(f"a NIR file has at most {MAX_OBJECTS} objects: {quoted(group.name)} exceeds that")
        for name in group:
            child = _checked_child(group, name)
            _check_object(child, budget)
            if isinstance(child, h5py.Group):
                stack.append((child, depth + 1))
            else:
                _check_dataset(child, budget)


def _checked_child(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        kind = "an external link" if isinstance(link, h5py.ExternalLink) else "a soft or user-defined link"
        raise InputError(
            f"a NIR file holds its data itself: {quoted(name)} in {quoted(group.name)} is {kind}; "
            "write the file again with nir.write"
        )
    child = group[name]
    if not isinstance(child, h5py.Group | h5py.Dataset):
        raise InputError(f"a NIR file holds groups and data sets: {quoted(child.name)} is neither; write it again")
    return child


def _check_object(item: h5py.Group | h5py.Dataset, budget: _Budget) -> None:
    budget.objects += 1
    address = int(h5o.get_info(item.id).addr)
    if address in budget.seen:
        raise InputError(
            f"every object has one name: {quoted(item.name)} is a second link to another; write the file again"
        )
    budget.seen.add(address)


# ------------------------------------------------------------------------------------------------ the data sets


def _check_dataset(dataset: h5py.Dataset, budget: _Budget) -> None:
    _check_dtype(dataset)
    if dataset.id.get_space().get_simple_extent_type() == h5s.NULL:
        raise InputError(f"data sets hold data: {quoted(dataset.name)} is empty; write the file again")
    plist = dataset.id.get_create_plist()
    layout = plist.get_layout()
    if layout == h5d.VIRTUAL or plist.get_external_count():
        raise InputError(
            f"a NIR file holds its data itself: {quoted(dataset.name)} is stored in other files; "
            "write the file again with nir.write"
        )
    if layout != h5d.CONTIGUOUS and dataset.dtype.kind == "O":
        raise InputError(
            f"strings are stored contiguously: {quoted(dataset.name)} is not; write the file again with nir.write"
        )
    if layout == h5d.CHUNKED:
        _check_chunks(dataset, plist, budget)
    else:
        _check_contiguous(dataset, layout, budget)


def _check_dtype(dataset: h5py.Dataset) -> None:
    dtype = dataset.dtype
    text = dtype.kind == "S" or (dtype.kind == "O" and h5py.check_string_dtype(dtype) is not None)
    number = dtype.kind in "biuf" and dtype.itemsize <= 8 and dtype.subdtype is None
    if not (text or number):
        raise InputError(
            f"data sets hold numbers up to 64 bits or strings: {quoted(dataset.name)} holds {quoted(dtype)}; "
            "write the file again with nir.write"
        )


def _declare(dataset: h5py.Dataset, size: int, budget: _Budget) -> None:
    budget.declared += size
    if budget.declared > budget.limit:
        raise InputError(
            f"a NIR file of {budget.file_bytes} bytes may declare {budget.limit} bytes of data (at most {MAX_BYTES}): "
            f"{quoted(dataset.name)} brings it to {budget.declared}; is it really a model?"
        )


def _elements(dataset: h5py.Dataset) -> int:
    return int(dataset.id.get_space().get_simple_extent_npoints())


def _item_bytes(dataset: h5py.Dataset) -> int:
    if dataset.dtype.kind == "O":
        return REFERENCE_BYTES
    return int(dataset.id.get_type().get_size())


def _not_stored(dataset: h5py.Dataset) -> InputError:
    return InputError(
        f"data sets are stored in full: {quoted(dataset.name)} declares {_elements(dataset)} elements and does not "
        "store them all; write the file again with nir.write"
    )


def _check_contiguous(dataset: h5py.Dataset, layout: int, budget: _Budget) -> None:
    size = _elements(dataset) * _item_bytes(dataset)
    _declare(dataset, size, budget)
    if dataset.id.get_storage_size() != size:
        raise _not_stored(dataset)
    if layout == h5d.CONTIGUOUS and size:
        offset = dataset.id.get_offset()
        if offset is None or offset + size > budget.file_bytes:
            raise _not_stored(dataset)


def _check_chunks(dataset: h5py.Dataset, plist: Any, budget: _Budget) -> None:
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if any(code not in _FILTERS for code in filters) or len(set(filters)) != len(filters):
        raise InputError(
            f"data sets are compressed with {', '.join(_FILTERS.values())} or not at all: {quoted(dataset.name)} uses "
            f"HDF5 filters {filters}; write the file again with nir.write"
        )
    chunk = plist.get_chunk()
    count = math.prod(-(-length // step) for length, step in zip(dataset.shape, chunk, strict=True))
    chunk_bytes = math.prod(chunk) * _item_bytes(dataset)
    budget.chunks += count
    if budget.chunks > MAX_CHUNKS:
        raise InputError(f"a NIR file has at most {MAX_CHUNKS} chunks: {quoted(dataset.name)} exceeds that; rechunk it")
    _declare(dataset, count * chunk_bytes, budget)
    if dataset.id.get_num_chunks() != count:
        raise _not_stored(dataset)
    stored: list[Any] = []
    dataset.id.chunk_iter(stored.append)
    for info in stored:
        if info.byte_offset is None or info.byte_offset + info.size > budget.file_bytes:
            raise _not_stored(dataset)
        _check_chunk(dataset, info.chunk_offset, filters, chunk_bytes)


def _check_chunk(dataset: h5py.Dataset, offset: tuple[int, ...], filters: list[int], chunk_bytes: int) -> None:
    """A chunk must decompress to its declared size: the HDF5 library would inflate a bomb to its end."""
    mask, raw = dataset.id.read_direct_chunk(offset)
    active = [code for i, code in enumerate(filters) if not mask >> i & 1]
    expected = chunk_bytes
    for code in reversed(active):
        if code == h5z.FILTER_FLETCHER32:
            raw = raw[:-_CHECKSUM_BYTES]
        elif code == h5z.FILTER_DEFLATE:
            if h5z.FILTER_FLETCHER32 in active[: active.index(code)]:
                expected += _CHECKSUM_BYTES
            raw = _inflated(raw, expected)
            break
    if len(raw) != expected:
        raise InputError(
            f"chunks decompress to the size they declare: {quoted(dataset.name)} has one that does not; "
            "write the file again with nir.write"
        )


def _inflated(raw: bytes, expected: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(raw, expected + 1)
    except zlib.error:
        return b""
