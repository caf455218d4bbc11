"""Samples from an `.npz` file: the input spikes of a network, or images that become some, and optionally classes.

The file is read as hostile input. The headers of the arrays are read inside the zip before anything is allocated, so a
file is refused for what it declares; pickled arrays are never loaded; and the arrays are decompressed block by block.
"""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from ...hdl.errors import SampleError, listed, plain, quoted
from ...hdl.files import open_regular
from ...hdl.images.coding import ImageCoding
from ..ir.network import Network
from ..ir.signed import least_value, sample_shapes, unsigned
from .archives import BLOCK_BYTES, COMPRESSIONS, DAMAGES, HEADER_ERRORS, BoundedFile, first_line
from .images import as_pixels, encode

MAX_BYTES = 8 << 30
"""The largest array that is read unless the caller says otherwise, in bytes."""

MAX_RATIO = 300
"""The largest expansion that is read: compressed spikes reach about 100, a zip bomb 1000."""

RATIO_FREE_BYTES = 64 << 20
"""Arrays up to this size are harmless whatever their expansion, in bytes."""

UNLABELLED = -1
"""The label of a step that has none."""

FEWEST_QUESTIONED = 10
"""Fewer labels may leave classes out by chance."""

_MAX_FILE_BYTES = 64 << 30
_MAX_HEADER_BYTES = 16 << 10
_MAX_DIMENSIONS = 8
_MAX_SIZE = 1 << 64


@dataclass(frozen=True, eq=False, kw_only=True)
class Samples:
    """`spikes` uint8 [samples, steps, inputs], the number of spikes per step; `labels` int64 [samples] or None.

    Only who asks for it (`load_samples`) gets labels of every step, [samples, steps], -1 where a step has none.

    `images` uint8 [samples, inputs] are what the spikes were encoded from, if that is so.
    """

    spikes: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None = None
    images: npt.NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.spikes)

    @property
    def steps(self) -> int:
        """Time steps per sample."""
        return int(self.spikes.shape[1])

    def first(self, count: int | None) -> Samples:
        """The first `count` samples, or all of them for None."""
        if count is None or count >= len(self):
            return self
        return Samples(
            spikes=self.spikes[:count],
            labels=None if self.labels is None else self.labels[:count],
            images=None if self.images is None else self.images[:count],
        )

    def cut(self, steps: int | None) -> Samples:
        """The first `steps` of every sample, or all of them for None. SampleError for images, which are encoded in the
        steps that their coding has."""
        if steps is None or steps >= self.steps:
            return self
        if self.images is not None:
            raise SampleError(f"an image is encoded in all of its {self.steps} steps: it cannot be cut to {steps}")
        labels = self.labels if self.labels is None or self.labels.ndim == 1 else self.labels[:, :steps]
        return Samples(spikes=self.spikes[:, :steps], labels=labels)


@dataclass(frozen=True)
class _Header:
    """What an array inside the file declares about itself, and where in its member the data begin."""

    key: str
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[np.generic]
    offset: int

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def load_samples(
    path: str | Path,
    network: Network | None = None,
    *,
    coding: ImageCoding | None = None,
    max_bytes: int = MAX_BYTES,
    of_steps: bool = False,
) -> Samples:
    """Read an `.npz` file with `spikes` [samples, steps, inputs...] and optionally `labels` [samples].

    Both are integers (spikes may be bool): spikes 0..255 per step, labels class numbers. The inputs' dimensions are
    flattened row-major. With a `network`, the inputs must match its `input_shape` (or be flat), no value may exceed its
    `x_max`, and labels must number its classes (`Network.reading`). The inputs of a network with signed ones may come
    with their signs, from its `x_min` on. Arrays larger than `max_bytes` are refused.

    With a `coding` the file holds `images` [samples, inputs...] instead, pixels of 0..255 or bool (True is white), and
    they are encoded. They may have the dimensions of pictures where the network's inputs are flat. Labels may be
    those `of_steps` [samples, steps] too, -1 where a step has none.

    Raises SampleError, in one line, for anything else.
    """
    path = Path(path)
    try:
        with open_regular(path, "samples", _MAX_FILE_BYTES, SampleError) as file:
            return _read_file(file, path, network, coding, max_bytes, of_steps)
    except FileNotFoundError:
        raise SampleError(f"samples must be an existing .npz file: {path} was not found") from None
    except DAMAGES as error:
        raise SampleError(f"samples must be an intact .npz file (numpy.savez): {path}: {first_line(error)}") from None
    except OSError as error:
        raise SampleError(f"samples must be a readable .npz file: {path}: {error.strerror or error}") from None
    except (NotImplementedError, RuntimeError) as error:  # zipfile's words for odd compression and for encryption
        raise SampleError(f"samples must be a plain .npz file: {path}: {first_line(error)}") from None


def samples_of(spikes: npt.NDArray[Any], network: Network) -> Samples:
    """Integers [samples, steps, inputs...] of another kind of file, as `load_samples` takes them, or SampleError."""
    if spikes.dtype.kind not in "biu":
        raise SampleError(f"'spikes' must be integers or bool: it is {spikes.dtype}; round or encode it first")
    _check_spikes_header(_Header("spikes", spikes.shape, False, spikes.dtype, 0), network)
    least = least_value(network, spikes.shape[2:])
    _check_range("spikes", spikes, least, min(255, network.x_max))
    return Samples(spikes=unsigned(network, spikes))


def _read_file(
    file: io.BufferedReader,
    path: Path,
    network: Network | None,
    coding: ImageCoding | None,
    max_bytes: int,
    of_steps: bool,
) -> Samples:
    with zipfile.ZipFile(BoundedFile(file)) as archive:
        return _read_archive(archive, path, network, coding, max_bytes, of_steps)


def _read_archive(
    archive: zipfile.ZipFile,
    path: Path,
    network: Network | None,
    coding: ImageCoding | None,
    max_bytes: int,
    of_steps: bool,
) -> Samples:
    members = _members(archive, path)
    key, shape = ("spikes", "[samples, steps, inputs...]") if coding is None else ("images", "[samples, inputs...]")
    if key not in members:
        found = listed(sorted(members), plain) or "nothing"
        raise SampleError(f"samples need the key '{key}' {shape}: {path} holds {found}")
    headers = {
        name: _read_header(archive, members[name], name, max_bytes) for name in (key, "labels") if name in members
    }
    if coding is None:
        _check_spikes_header(headers[key], network)
    else:
        _check_images_header(headers[key], network, coding, max_bytes)
    if "labels" in headers:
        samples, *rest = headers[key].shape
        steps = (rest[0] if coding is None else coding.steps) if of_steps else None
        _check_labels_header(headers["labels"], samples, steps)
    if coding is None:
        images, spikes = None, _read_spikes(archive, members[key], headers[key], network)
    else:
        images = as_pixels(_read_images(archive, members[key], headers[key]))
        spikes = encode(images, coding)
    if "labels" not in headers:
        return Samples(spikes=spikes, images=images)
    labels = _read_array(archive, members["labels"], headers["labels"]).astype(np.int64)
    _check_labels(labels, network)
    return Samples(spikes=spikes, labels=labels, images=images)


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The arrays of the file by key; each key once."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        key = info.filename.removesuffix(".npy")
        if key in members:
            raise SampleError(f"samples must hold every key once: {path} holds {quoted(key)} twice")
        members[key] = info
    return members


def _read_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, key: str, max_bytes: int) -> _Header:
    """Read what one array declares, and refuse what cannot be true or would not fit."""
    if info.compress_type not in COMPRESSIONS:
        raise SampleError(
            f"samples must be a plain .npz file (numpy.savez_compressed): '{key}' is compressed otherwise"
        )
    with archive.open(info) as stream:
        header = _parse_header(stream.read(_MAX_HEADER_BYTES), key)
    if header.bytes > max_bytes:
        raise SampleError(f"'{key}' may hold at most {max_bytes} bytes: it declares {header.bytes}; use fewer samples")
    if header.bytes != info.file_size - header.offset:
        raise SampleError(
            f"'{key}' must hold the {header.bytes} bytes that its shape {header.shape} declares: "
            f"it holds {info.file_size - header.offset}"
        )
    if header.bytes > RATIO_FREE_BYTES and header.bytes > MAX_RATIO * info.compress_size:
        raise SampleError(
            f"'{key}' may expand at most {MAX_RATIO} times: {info.compress_size} bytes declare {header.bytes}; "
            "save it with numpy.savez instead of savez_compressed if it is real"
        )
    return header


def _parse_header(start: bytes, key: str) -> _Header:
    stream = io.BytesIO(start)
    try:
        version = npy.read_magic(stream)
        if version == (1, 0):
            shape, fortran_order, dtype = npy.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran_order, dtype = npy.read_array_header_2_0(stream)
        else:
            raise SampleError(f"'{key}' must be a plain array: its format version is {version}")
    except HEADER_ERRORS as error:
        raise SampleError(f"'{key}' must be a NumPy array: {first_line(error)}") from None
    if dtype.kind not in "biu":
        hint = "; round or encode it first" if dtype.kind == "f" else ""
        raise SampleError(f"'{key}' must be integers{'' if key == 'labels' else ' or bool'}: it is {dtype}{hint}")
    if any(type(size) is not int or abs(size) >= _MAX_SIZE for size in shape):  # which may be too long to print
        raise SampleError(f"'{key}' must have whole numbers of 64 bits for dimensions: one of {len(shape)} is none")
    if len(shape) > _MAX_DIMENSIONS or any(size < 0 for size in shape):
        raise SampleError(f"'{key}' must have at most {_MAX_DIMENSIONS} dimensions: its shape is {quoted(shape)}")
    return _Header(key, shape, fortran_order, dtype, stream.tell())


def _check_spikes_header(header: _Header, network: Network | None) -> None:
    shape = header.shape
    if len(shape) < 3:
        raise SampleError(f"'spikes' must be [samples, steps, inputs...]: its shape is {shape}")
    if shape[0] == 0:
        raise SampleError(f"'spikes' must hold at least one sample: its shape is {shape}")
    if shape[1] == 0:
        raise SampleError(f"'spikes' must hold at least one time step: its shape is {shape}")
    inputs = shape[2:]
    if network is None:
        if math.prod(inputs) == 0:
            raise SampleError(f"'spikes' must hold at least one input: its shape is {shape}")
    elif inputs not in (shapes := sample_shapes(network)):
        wanted = " x ".join(map(str, shapes[0]))
        raise SampleError(
            f"'spikes' must have the network's inputs, {wanted}, after samples and steps: its shape is {shape}"
        )


def _check_images_header(header: _Header, network: Network | None, coding: ImageCoding, max_bytes: int) -> None:
    shape = header.shape
    if len(shape) < 2 or 0 in shape:
        raise SampleError(f"'images' must be [samples, inputs...] with at least one of each: its shape is {shape}")
    suits = network is None or shape[1:] in (network.input_shape, (network.input_size,))
    if (
        network is not None
        and not suits
        and (math.prod(shape[1:]), len(network.input_shape)) != (network.input_size, 1)
    ):
        wanted = " x ".join(map(str, network.input_shape))
        raise SampleError(f"'images' must have the network's inputs, {wanted}, after samples: its shape is {shape}")
    if math.prod(shape) * coding.steps > max_bytes:
        raise SampleError(
            f"the spikes of 'images' may hold at most {max_bytes} bytes: {shape} over {coding.steps} steps need "
            f"{math.prod(shape) * coding.steps}; use fewer samples"
        )


def _check_labels_header(header: _Header, samples: int, steps: int | None) -> None:
    """SampleError for others than one class of each sample or, where there are `steps`, of each of them."""
    shapes = [(samples,)] if steps is None else [(samples,), (samples, steps)]
    if header.dtype.kind == "b" or header.shape not in shapes:
        each = "" if steps is None else f", or per step, shape ({samples}, {steps})"
        raise SampleError(
            f"'labels' must be one class number per sample, shape ({samples},){each}: it is {header.dtype} "
            f"{header.shape}"
        )


def _read_spikes(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, header: _Header, network: Network | None
) -> npt.NDArray[np.uint8]:
    if network is not None and (least := least_value(network, header.shape[2:])) < 0:
        signed = _read_array(archive, info, header, (np.dtype(np.int16), least, network.x_max))
        return unsigned(network, signed)
    largest = 255 if network is None else min(255, network.x_max)
    spikes = _read_array(archive, info, header, (np.dtype(np.uint8), 0, largest))
    samples, steps = header.shape[:2]
    return np.ascontiguousarray(spikes).reshape(samples, steps, -1).view(np.uint8)


def _read_images(archive: zipfile.ZipFile, info: zipfile.ZipInfo, header: _Header) -> npt.NDArray[np.generic]:
    if header.dtype.kind == "b":
        return _read_array(archive, info, header)
    return _read_array(archive, info, header, (np.dtype(np.uint8), 0, 255))


def _read_array(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    header: _Header,
    narrow: tuple[np.dtype[np.integer[Any]], int, int] | None = None,
) -> npt.NDArray[np.generic]:
    """Read an array block by block; with `narrow` = (type, least, largest), check and convert each block."""
    count = math.prod(header.shape)
    flat = np.empty(count, header.dtype if narrow is None else narrow[0])
    per_block = max(1, BLOCK_BYTES // header.dtype.itemsize)
    with archive.open(info) as stream:
        stream.seek(header.offset)
        for start in range(0, count, per_block):
            stop = min(count, start + per_block)
            block = np.frombuffer(_read_exactly(stream, (stop - start) * header.dtype.itemsize), header.dtype)
            if narrow is not None:
                _check_range(header.key, block, *narrow[1:])
            flat[start:stop] = block
        stream.read(1)  # reaching the end checks the zip's checksum
    return flat.reshape(header.shape, order="F" if header.fortran_order else "C")


def _read_exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    while len(data) < count:
        more = stream.read(count - len(data))
        if not more:
            raise EOFError("an array ends early")
        data += more
    return data


def _check_range(key: str, block: npt.NDArray[np.generic], least: int, largest: int) -> None:
    low, high = int(block.min()), int(block.max())
    if low < least or high > largest:
        limits = "the network's x_max" if least == 0 else "the network's x_min and x_max"
        meaning = "pixels" if key == "images" else f"spikes per step ({limits})"
        hint = "; signed inputs are read with x_min (--x-min -1)" if least == 0 > low and key == "spikes" else ""
        raise SampleError(
            f"'{key}' must be {least}..{largest} {meaning}: a value is {low if low < least else high}{hint}"
        )


def _check_labels(labels: npt.NDArray[np.int64], network: Network | None) -> None:
    classes = None if network is None else network.class_count
    if labels.ndim == 2:  # of each sample the worst
        given = np.where(labels == UNLABELLED, 0, labels)
        labels = np.where(given.min(axis=1) < 0, given.min(axis=1), given.max(axis=1))
    bad = labels < 0 if classes is None else (labels < 0) | (labels >= classes)
    if network is not None and classes is not None and bad.any():
        sample, of = int(np.argmax(bad)), "outputs" if network.readout is None else "classes"
        hint = "; one output neuron is read by --readout-threshold" if classes == 1 else ""
        raise SampleError(
            f"'labels' must be 0..{classes - 1}, the network's {of}: sample {sample} has {int(labels[sample])}{hint}"
        )
    if bad.any():
        sample = int(np.argmax(bad))
        raise SampleError(f"'labels' must be 0 or more: sample {sample} has {int(labels[sample])}")
    if network is not None:
        question_labels(labels, network)


def question_labels(labels: npt.NDArray[np.int64], network: Network) -> None:
    """Warn of labels that leave half of the classes or more without a sample: the output is likely read otherwise."""
    classes, seen = network.class_count, int(labels.max(initial=0)) + 1
    if len(labels) < FEWEST_QUESTIONED or (seen > 1 and 2 * seen > classes):
        return
    hint = "check them"
    outputs = network.size_of(network.output)
    if outputs == 1:
        hint = "one output neuron tells two classes apart by --readout-threshold"
    elif seen > 1 and outputs % seen == 0:
        hint = f"if the outputs are a population code of {seen} classes, say --classes {seen}"
    warnings.warn(
        f"labels and outputs should fit: the {len(labels)} labels are 0..{seen - 1}, and the output of "
        f"{quoted(network.name)} tells {classes} {'class' if classes == 1 else 'classes'} apart; {hint}",
        stacklevel=2,
    )
