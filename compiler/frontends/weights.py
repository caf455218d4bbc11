"""Quantised weights as a NumPy `.npz` file: the layers of a chain of leaky neurons, integers as they will be stored.

Every layer has a name, and its arrays are called `NAME.weight` and so on; layers follow each other as in the file.

| array | meaning |
|---|---|
| `weight` | integers [outputs, inputs], as torch has them; zeros are absent synapses |
| `scale` | what an integer is worth, () or (outputs,); default 1 |
| `beta` | what a step keeps of the membrane, 0 to 1, () or (outputs,); default 1 |
| `threshold` | above 0, () or (outputs,); default 1 |
| `sub` | what a spike subtracts, () or (outputs,); default the threshold |
| `bias` | added in every step, (outputs,); default none |

The neurons are snnTorch's `Leaky` as it comes: fire above the threshold, subtract it (or `sub`) one step later. The
file is read as hostile input: nothing in it is unpickled, and what it declares is checked before anything is allocated.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from ...hdl.errors import ModelError, OptionError, listed, plain, quoted
from ...hdl.files import open_regular
from ..data.archives import COMPRESSIONS, DAMAGES, HEADER_ERRORS, BoundedFile, first_line
from ..ir.connectivity import Dense, Quantised
from ..ir.network import INPUT, Network, Population, Projection
from ..ir.neurons import LIF, Fire, ResetMode, ResetPlace

MAX_WEIGHTS_BYTES = 1 << 28
"""Of one array, and of the file."""

MAX_LAYERS = 1000
MAX_BITS = 16
"""The widest codes."""

_PARTS = ("weight", "scale", "beta", "threshold", "sub", "bias")
_HEADER_BYTES = 16 << 10

Array = npt.NDArray[Any]


def holds_weights(path: Path) -> bool:
    """Whether a file is an archive with an array that is called `NAME.weight`; anything else is for other readers."""
    try:
        with open_regular(path, "weights", MAX_WEIGHTS_BYTES, ModelError) as file:
            if not zipfile.is_zipfile(file):
                return False
            with zipfile.ZipFile(BoundedFile(file)) as archive:
                return any(name.removesuffix(".npy").endswith(".weight") for name in archive.namelist())
    except (OSError, ModelError, NotImplementedError, *DAMAGES):
        return False


def read_weights(path: Path, **conventions: Any) -> tuple[Network, list[Quantised]]:
    """The float network that quantised weights stand for, and what they are, one `Quantised` per projection.

    `conventions` are those of NIR files: none may be given here.

    Raises ModelError, in one line, for anything that is no such file, and OptionError for conventions.
    """
    said = [name for name, value in conventions.items() if value is not None]
    if said:
        raise OptionError(f"weights in .npz are those of snnTorch's Leaky: leave out --{said[0].replace('_', '-')}")
    try:
        with (
            open_regular(path, "weights", MAX_WEIGHTS_BYTES, ModelError) as file,
            zipfile.ZipFile(BoundedFile(file)) as archive,
        ):
            layers = _layers(archive, path)
    except FileNotFoundError:
        raise ModelError(f"weights must be an existing .npz file: {path} was not found") from None
    except DAMAGES as error:
        raise ModelError(f"weights must be an intact .npz file (numpy.savez): {path}: {first_line(error)}") from None
    except (NotImplementedError, RuntimeError) as error:
        raise ModelError(f"weights must be a plain .npz file: {path}: {first_line(error)}") from None
    return _network(layers, path.stem)


def _layers(archive: zipfile.ZipFile, path: Path) -> dict[str, dict[str, Array]]:
    """The arrays of each layer by part."""
    layers: dict[str, dict[str, Array]] = {}
    for info in archive.infolist():
        name, dot, part = info.filename.removesuffix(".npy").rpartition(".")
        if not dot or not name or part not in _PARTS:
            parts = ", ".join(_PARTS)
            raise ModelError(f"arrays are called NAME.PART, a part one of {parts}: {path} has {quoted(info.filename)}")
        layer = layers.setdefault(name, {})
        if part in layer:
            raise ModelError(f"every array is there once: {path} has {quoted(info.filename)} twice")
        if len(layers) > MAX_LAYERS:
            raise ModelError(f"a network has at most {MAX_LAYERS:,} layers: {path} has more")
        layer[part] = _array(archive, info, "iu" if part == "weight" else "fiu")
    if missing := [name for name, layer in layers.items() if "weight" not in layer]:
        raise ModelError(f"every layer has weights: {path} has none of {listed(missing, plain)}; add NAME.weight")
    if not layers:
        raise ModelError(f"weights are arrays called NAME.weight: {path} has none")
    return layers


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, kinds: str) -> Array:
    """One array, of the size that it declares."""
    name = quoted(info.filename)
    if info.compress_type not in COMPRESSIONS or info.file_size > MAX_WEIGHTS_BYTES:
        raise ModelError(f"arrays are plain and of at most {MAX_WEIGHTS_BYTES:,} bytes: {name} is not")
    with archive.open(info) as stream:
        start = io.BytesIO(stream.read(_HEADER_BYTES))
        try:
            read = npy.read_array_header_1_0 if npy.read_magic(start) == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = read(start)
        except HEADER_ERRORS as error:
            raise ModelError(f"weights hold NumPy arrays: {name} is none ({first_line(error)})") from None
        if dtype.kind not in kinds:
            what = "integers; quantise them first" if "f" not in kinds else "numbers"
            raise ModelError(f"arrays hold {what}: {name} is {dtype}")
        small = len(shape) <= 2 and all(type(size) is int and 0 <= size < 1 << 32 for size in shape)
        if not small or math.prod(shape) * dtype.itemsize != info.file_size - start.tell():
            raise ModelError(f"arrays have the size that they declare, in two dimensions at most: {name} has not")
        content = start.read() + stream.read()
    values: Array = np.frombuffer(content, dtype, math.prod(shape)).reshape(shape, order="F" if fortran else "C")
    if values.dtype.kind == "f" and not np.all(np.isfinite(values)):
        raise ModelError(f"arrays hold finite numbers: {name} does not")
    return values


def _network(layers: dict[str, dict[str, Array]], name: str) -> tuple[Network, list[Quantised]]:
    """The float network of a chain, and the codes that its weights are."""
    populations: list[Population] = []
    projections: list[Projection] = []
    codes: list[Quantised] = []
    pre, inputs = INPUT, 0
    for layer, arrays in layers.items():
        weight = arrays["weight"]
        if weight.ndim != 2 or 0 in weight.shape:
            raise ModelError(f"weights are [outputs, inputs]: {quoted(layer)} has the shape {weight.shape}")
        outputs, inputs_here = weight.shape
        if pre != INPUT and inputs_here != populations[-1].size:
            arrive = populations[-1].size
            raise ModelError(f"layers fit each other: {quoted(layer)} takes {inputs_here} values, {arrive} arrive")
        inputs = inputs or inputs_here
        quantised = _codes(layer, weight.T, _of_neurons(layer, arrays, "scale", 1.0, outputs, least=0))
        populations.append(_population(layer, arrays, outputs))
        dense = Dense(weights=quantised.dequantise())
        projections.append(Projection(pre=pre, post=layer, connectivity=dense))
        codes.append(quantised)
        pre = layer
    network = Network(
        input_shape=(inputs,),
        populations=tuple(populations),
        projections=tuple(projections),
        output=pre,
        dialect="snntorch",
        name=name,
    )
    return network, codes


def _codes(layer: str, weight: Array, scale: npt.NDArray[np.float64]) -> Quantised:
    """Codes [inputs, outputs] in as few bits as hold them."""
    low, high = int(weight.min()), int(weight.max())
    bits = max(2, max(abs(low), abs(high)).bit_length() + 1)
    if bits > MAX_BITS:
        worst = low if -low > high else high
        raise ModelError(f"weights have at most {MAX_BITS} bits: {quoted(layer)} has {worst}; quantise to fewer")
    return Quantised(codes=weight.astype(np.int64), bits=bits, scale=scale)


def _population(layer: str, arrays: dict[str, Array], outputs: int) -> Population:
    neurons = LIF(
        beta=_of_neurons(layer, arrays, "beta", 1.0, outputs, least=None),
        threshold=_of_neurons(layer, arrays, "threshold", 1.0, outputs, least=0),
        sub=_of_neurons(layer, arrays, "sub", 1.0, outputs, least=None) if "sub" in arrays else None,
        reset_mode=ResetMode.SUBTRACT,
        reset_place=ResetPlace.NEXT,
        fire=Fire.GT,
    )
    bias = _of_neurons(layer, arrays, "bias", 0.0, outputs, least=None)
    return Population(name=layer, shape=(outputs,), dynamics=neurons, bias=bias)


def _of_neurons(
    layer: str, arrays: dict[str, Array], part: str, default: float, outputs: int, *, least: float | None
) -> npt.NDArray[np.float64]:
    """Values of neurons, one for all or one each, above `least`."""
    values = np.asarray(arrays.get(part, default), np.float64)
    if values.size == 1:
        values = values.reshape(())
    if values.shape not in ((), (outputs,)):
        raise ModelError(f"{part} is one number or one per output: {quoted(f'{layer}.{part}')} is {values.shape}")
    if least is not None and np.any(values <= least):
        raise ModelError(f"{part} is above {least:g}: {quoted(f'{layer}.{part}')} has {float(values.min()):g}")
    if part == "beta" and (np.any(values < 0) or np.any(values > 1)):
        raise ModelError(f"beta is 0 to 1: {quoted(f'{layer}.beta')} is not")
    return values
