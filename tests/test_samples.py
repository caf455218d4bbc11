"""Samples: what is read, and every way a file can be wrong or hostile."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.data.samples import Samples, load_samples
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LIF
from spikeloom.hdl.errors import SampleError

SPIKES = np.arange(2 * 3 * 4).reshape(2, 3, 4) % 2


def network(input_shape: tuple[int, ...] = (4,), x_max: int = 1) -> Network:
    inputs = int(np.prod(input_shape))
    dynamics = LIF(beta=np.array(0.5), threshold=np.array(1.0))
    return Network(
        input_shape=input_shape,
        populations=(Population(name="out", shape=(3,), dynamics=dynamics),),
        projections=(Projection(pre=INPUT, post="out", connectivity=Dense(weights=np.ones((inputs, 3)))),),
        output="out",
        x_max=x_max,
    )


def save(folder: Path, **arrays: Any) -> Path:
    path = folder / "samples.npz"
    np.savez_compressed(path, **arrays)
    return path


def npz(folder: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    path = folder / "samples.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def declared(shape: tuple[int, ...], descr: str = "|u1", data: bytes = b"") -> bytes:
    """The bytes of an `.npy` file whose header says `shape`, whatever follows."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue() + data


def header(shape: str) -> bytes:
    """The bytes of an `.npy` file whose header writes its shape so."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64, np.uint16, np.bool_, ">i4"])
def test_every_integer_type_becomes_uint8(tmp_path: Path, dtype: Any) -> None:
    samples = load_samples(save(tmp_path, spikes=SPIKES.astype(dtype), labels=np.array([2, 0], np.int16)), network())
    assert samples.spikes.dtype == np.uint8 and samples.spikes.flags.c_contiguous
    assert np.array_equal(samples.spikes, SPIKES)
    assert samples.labels is not None and samples.labels.dtype == np.int64
    assert samples.labels.tolist() == [2, 0]
    assert (len(samples), samples.steps) == (2, 3)


@pytest.mark.parametrize("order", ["C", "F"])
def test_inputs_are_flattened_row_major(tmp_path: Path, order: Any) -> None:
    images = np.random.default_rng(1).integers(0, 2, (5, 3, 2, 4), np.uint8)
    path = save(tmp_path, spikes=np.asarray(images, order=order))
    assert np.array_equal(load_samples(path, network((2, 4))).spikes, images.reshape(5, 3, 8))
    assert np.array_equal(load_samples(path).spikes, images.reshape(5, 3, 8))
    flat = save(tmp_path, spikes=images.reshape(5, 3, 8))
    assert np.array_equal(load_samples(flat, network((2, 4))).spikes, images.reshape(5, 3, 8))


def test_an_array_of_many_blocks_is_read_whole(tmp_path: Path) -> None:
    spikes = np.random.default_rng(2).integers(0, 2, (3, 500, 784))
    assert np.array_equal(load_samples(save(tmp_path, spikes=spikes)).spikes, spikes)


def test_labels_of_steps_come_where_they_are_asked_for(tmp_path: Path) -> None:
    labels = np.full(SPIKES.shape[:2], -1)
    labels[0, 1] = 2
    file = save(tmp_path, spikes=SPIKES, labels=labels)
    found = load_samples(file, network(), of_steps=True).labels
    assert found is not None and np.array_equal(found, labels)
    with pytest.raises(SampleError, match="one class number per sample"):
        load_samples(file, network())
    for wrong, words in (
        (labels[:, 1:], r"or per step, shape \(2, 3\)"),
        (labels - 1, "has -2"),
        (labels[::-1] + 1, "sample 1 has 3"),
    ):
        with pytest.raises(SampleError, match=words):
            load_samples(save(tmp_path, spikes=SPIKES, labels=wrong), network(), of_steps=True)


def test_labels_are_optional_and_the_first_samples_keep_theirs(tmp_path: Path) -> None:
    assert load_samples(save(tmp_path, spikes=SPIKES)).first(1).labels is None
    samples = load_samples(save(tmp_path, spikes=SPIKES, labels=[1, 2]))
    first = samples.first(1)
    assert first.spikes.shape == (1, 3, 4) and first.labels is not None and first.labels.tolist() == [1]
    assert samples.first(None) is samples and samples.first(99) is samples
    assert samples.cut(None) is samples and samples.cut(99) is samples
    cut = samples.cut(1)
    assert np.array_equal(cut.spikes, samples.spikes[:, :1]) and np.array_equal(cut.labels, samples.labels)
    with pytest.raises(SampleError, match="an image is encoded in all of its"):
        Samples(spikes=samples.spikes, images=samples.spikes[:, 0]).cut(1)


def test_several_spikes_per_step_go_up_to_x_max(tmp_path: Path) -> None:
    path = save(tmp_path, spikes=SPIKES * 3)
    assert load_samples(path, network(x_max=3)).spikes.max() == 3
    with pytest.raises(SampleError, match=r"0\.\.2 spikes per step .*: a value is 3"):
        load_samples(path, network(x_max=2))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": [1]}, "need the key 'spikes'.*holds labels"),
        ({"spikes": SPIKES * 1.0}, "must be integers or bool: it is float64"),
        ({"spikes": np.full((2, 3, 4), np.nan)}, "must be integers or bool: it is float64"),
        ({"spikes": -SPIKES}, "a value is -1"),
        ({"spikes": SPIKES * 256}, "a value is 256"),
        ({"spikes": SPIKES[0]}, r"\[samples, steps, inputs...\]: its shape is \(3, 4\)"),
        ({"spikes": SPIKES[:0]}, "at least one sample"),
        ({"spikes": SPIKES[:, :0]}, "at least one time step"),
        ({"spikes": SPIKES[:, :, :3]}, r"the network's inputs, 4, .*\(2, 3, 3\)"),
        ({"spikes": SPIKES.reshape(2, 3, 2, 2)}, r"the network's inputs, 4, .*\(2, 3, 2, 2\)"),
        ({"spikes": np.array("spikes")}, "must be integers"),
        ({"spikes": np.zeros(2, [("a", "u1")])}, "must be integers"),
        ({"spikes": np.array([{}, None], object)}, "must be integers"),
        ({"spikes": SPIKES, "labels": [0, 3]}, r"0\.\.2, the network's outputs: sample 1 has 3"),
        ({"spikes": SPIKES, "labels": [-1, 0]}, "sample 0 has -1"),
        ({"spikes": SPIKES, "labels": [0]}, r"one class number per sample, shape \(2,\): it is int64 \(1,\)"),
        ({"spikes": SPIKES, "labels": [[0], [1]]}, "one class number per sample"),
        ({"spikes": SPIKES, "labels": [0.0, 1.0]}, "'labels' must be integers: it is float64"),
        ({"spikes": SPIKES, "labels": [True, False]}, "one class number per sample"),
    ],
)
def test_wrong_arrays_are_refused_in_one_line(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(SampleError, match=message) as caught:
        load_samples(save(tmp_path, **arrays), network())
    assert "\n" not in str(caught.value)


def test_files_that_are_no_npz_are_refused(tmp_path: Path) -> None:
    array = tmp_path / "spikes.npy"
    np.save(array, SPIKES)
    empty = tmp_path / "empty.npz"
    empty.write_bytes(b"")
    whole = save(tmp_path, spikes=np.random.default_rng(0).integers(0, 2, (20, 30, 40)))
    truncated = tmp_path / "truncated.npz"
    truncated.write_bytes(whole.read_bytes()[:-200])
    for path in (array, empty, truncated, tmp_path, tmp_path / "missing.npz"):
        with pytest.raises(SampleError, match="samples must be") as caught:
            load_samples(path)
        assert "\n" not in str(caught.value)


def test_a_damaged_array_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, spikes=np.random.default_rng(0).integers(0, 2, (20, 30, 40)))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(SampleError, match="intact"):
        load_samples(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (declared((1 << 20, 1 << 10, 1 << 10)), "may hold at most 8589934592 bytes"),
        (declared((1 << 62, 1 << 62, 4)), "may hold at most"),
        (declared((2, 3, 4), data=b"\0" * 23), "it holds 23"),
        (declared((2, 3, 4), data=b"\0" * 25), "it holds 25"),
        (declared((2, -3, -4), data=b"\0" * 24), "dimensions: its shape is"),
        (declared((1,) * 20, data=b"\0"), "at most 8 dimensions"),
        (b"not an array", "must be a NumPy array"),
        (b"", "must be a NumPy array"),
        (declared((2, 3, 4))[:40], "must be a NumPy array"),
        (b"\x93NUMPY\x01\x00\x10\x00__import__('os')", "must be a NumPy array"),
        (b"\x93NUMPY\x03\x00" + struct.pack("<I", 4) + b"{}  ", r"format version is \(3, 0\)"),
        (b"\x93NUMPY\x02\x00" + struct.pack("<I", 0xFFFFFFFF) + b"{" * 100, "must be a NumPy array"),
        (b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000, "must be a NumPy array"),
        (declared((True, 3, 4), data=bytes(12)), "whole numbers of 64 bits for dimensions: one of 3 is none"),
        (declared((1 << 64, 3, 4)), "whole numbers of 64 bits for dimensions: one of 3 is none"),
        (header(f"(2, 3, 0x{'9' * 5000})"), "whole numbers of 64 bits for dimensions: one of 3 is none"),
        (declared((1,) * 3000), "at most 8 dimensions"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(SampleError, match=message) as caught:
        load_samples(npz(tmp_path, {"spikes.npy": data}))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_zip_bomb_is_refused_before_it_expands(tmp_path: Path) -> None:
    bomb = declared((100, 1 << 10, 1 << 10), data=bytes(100 << 20))
    path = npz(tmp_path, {"spikes.npy": bomb}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 18
    with pytest.raises(SampleError, match="may expand at most 300 times"):
        load_samples(path)


def test_the_limit_on_size_can_be_set(tmp_path: Path) -> None:
    path = save(tmp_path, spikes=SPIKES.astype(np.uint8))
    assert len(load_samples(path, max_bytes=24)) == 2
    with pytest.raises(SampleError, match="at most 23 bytes: it declares 24"):
        load_samples(path, max_bytes=23)


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    array = declared((2, 3, 4), data=bytes(24))
    with pytest.raises(SampleError, match="'spikes' twice"):
        load_samples(npz(tmp_path, {"spikes.npy": array, "spikes": array}))


def test_a_broken_class_of_compression_is_refused(tmp_path: Path) -> None:
    path = npz(tmp_path, {"spikes.npy": declared((2, 3, 4), data=bytes(24))})
    data = path.read_bytes()
    for signature, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = data.index(signature) + at
        data = data[:start] + struct.pack("<H", 97) + data[start + 2 :]
    path.write_bytes(data)
    with pytest.raises(SampleError, match="must be a plain"):
        load_samples(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_what_numpy_does_not_write_is_refused_sound_or_corrupt(tmp_path: Path, compression: int) -> None:
    path = npz(tmp_path, {"spikes.npy": declared((2, 3, 4), data=bytes(24))}, compression)
    data = bytearray(path.read_bytes())
    for damage in (0, 0xFF):
        for place in range(48, 60):
            data[place] ^= damage
        path.write_bytes(data)
        with pytest.raises(SampleError) as caught:
            load_samples(path)
        assert str(caught.value) == (
            "samples must be a plain .npz file (numpy.savez_compressed): 'spikes' is compressed otherwise"
        )


def test_a_file_of_very_many_arrays_is_refused_in_a_short_line(tmp_path: Path) -> None:
    path = npz(tmp_path, {f"array{number:04}": b"" for number in range(9_000)})
    with pytest.raises(SampleError) as caught:
        load_samples(path)
    assert str(caught.value) == (
        f"samples need the key 'spikes' [samples, steps, inputs...]: {path} holds "
        + ", ".join(f"array000{number}" for number in range(8))
        + " and 8,992 more"
    )


def test_a_table_of_contents_beyond_reason_is_not_read(tmp_path: Path) -> None:
    path = npz(tmp_path, {f"{number:050000}": b"" for number in range(100)})
    with pytest.raises(SampleError, match="its table of contents is too large"):
        load_samples(path)


def test_a_long_header_is_not_read(tmp_path: Path) -> None:
    long = b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 20) + bytes(1 << 20)
    with pytest.raises(SampleError, match="must be a NumPy array"):
        load_samples(npz(tmp_path, {"spikes.npy": long}))


@pytest.mark.parametrize("compressed", [False, True])
def test_no_damage_is_an_internal_error(tmp_path: Path, compressed: bool) -> None:
    stream, rng = io.BytesIO(), np.random.default_rng(5)
    (np.savez_compressed if compressed else np.savez)(stream, spikes=SPIKES, labels=[0, 1])
    whole, path = stream.getvalue(), tmp_path / "samples.npz"
    refused = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + rng.bytes(1) + whole[place + 1 :])
        try:
            load_samples(path)
        except SampleError as error:
            assert "\n" not in str(error) and len(str(error)) < 500
            refused += 1
    assert refused > len(whole) // 2
