"""Hostile and broken HDF5 files: each is refused in one line, whatever it declares, and nothing outside it is read."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from spikeloom.compiler.frontends.nir import hdf5_guard
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.hdl.errors import InputError

SECRET = b"root:x:0:0:secret" * 4


def _write_model(path: Path) -> None:
    layer = nir.Linear(np.arange(6, dtype=np.float32).reshape(2, 3))
    lif = nir.LIF(tau=np.full(2, 1e-3), r=np.ones(2), v_leak=np.zeros(2), v_threshold=np.ones(2))
    nir.write(path, nir.NIRGraph.from_list(layer, lif))


Edit = Callable[[h5py.Group], None]
"""Changes the group of the node `lif` in an otherwise valid model."""


def _replace(name: str, create: Callable[[h5py.Group, str], Any]) -> Edit:
    def edit(node: h5py.Group) -> None:
        del node[name]
        create(node, name)

    return edit


def _soft_link(group: h5py.Group, name: str) -> None:
    group[name] = h5py.SoftLink("/node/nodes/lif/tau")


def _soft_cycle(group: h5py.Group, name: str) -> None:
    group[name] = h5py.SoftLink("/node")


def _external_link(group: h5py.Group, name: str) -> None:
    group[name] = h5py.ExternalLink(str(Path(group.file.filename).parent / "other.h5"), "/tau")


def _hard_link(group: h5py.Group, name: str) -> None:
    group[name] = group["tau"]


def _hard_cycle(group: h5py.Group, name: str) -> None:
    group[name] = group.file["node"]


def _external_storage(group: h5py.Group, name: str) -> None:
    secret = Path(group.file.filename).parent / "secret"
    group.create_dataset(name, shape=(2,), dtype="f8", external=[(str(secret), 0, 16)])


def _virtual(group: h5py.Group, name: str) -> None:
    layout = h5py.VirtualLayout(shape=(2,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(Path(group.file.filename).parent / "other.h5"), "tau", shape=(2,))
    group.create_virtual_dataset(name, layout)


def _never_written(chunks: Any, filename_compression: str | None = None) -> Callable[[h5py.Group, str], None]:
    def create(group: h5py.Group, name: str) -> None:
        group.create_dataset(
            name, shape=(1 << 32,), dtype="f8", chunks=chunks, compression=filename_compression, fillvalue=1
        )

    return create


def _one_chunk_of_many(group: h5py.Group, name: str) -> None:
    dataset = group.create_dataset(name, shape=(1 << 20,), dtype="f8", chunks=(1 << 10,))
    dataset[:1024] = 1


def _reference(group: h5py.Group, name: str) -> None:
    group.create_dataset(name, data=group.ref, dtype=h5py.ref_dtype)


def _region_reference(group: h5py.Group, name: str) -> None:
    group.create_dataset(name, data=group["tau"].regionref[:1], dtype=h5py.regionref_dtype)


def _compound(group: h5py.Group, name: str) -> None:
    group.create_dataset(name, data=np.zeros(2, [("a", "f8"), ("b", "f8")]))


def _array_type(group: h5py.Group, name: str) -> None:
    group.create_dataset(name, shape=(2,), dtype=np.dtype(("f8", (1000,))))


def _variable_numbers(group: h5py.Group, name: str) -> None:
    dataset = group.create_dataset(name, shape=(2,), dtype=h5py.vlen_dtype(np.float64))
    dataset[0] = np.ones(3)


def _opaque(group: h5py.Group, name: str) -> None:
    group.create_dataset(name, data=np.zeros(2, h5py.opaque_dtype("M8[ns]")))


def _complex(group: h5py.Group, name: str) -> None:
    group.create_dataset(name, data=np.zeros(2, np.complex128))


def _text(group: h5py.Group, name: str) -> None:
    group.create_dataset(name, data="1.0")


def _null(group: h5py.Group, name: str) -> None:
    group.create_dataset(name, data=h5py.Empty("f8"))


def _named_type(group: h5py.Group, name: str) -> None:
    group[name] = np.dtype("f8")


def _group(group: h5py.Group, name: str) -> None:
    group.create_group(name)


def _lzf(group: h5py.Group, name: str) -> None:
    group.create_dataset(name, data=np.ones(2), compression="lzf")


def _scale_offset(group: h5py.Group, name: str) -> None:
    group.create_dataset(name, data=np.ones(2, np.int64), scaleoffset=2)


def _zeros(group: h5py.Group, name: str) -> None:
    """32 MiB that deflate to 32 KiB."""
    group.create_dataset(name, data=np.zeros(4 << 20), compression="gzip", chunks=(1 << 17,))


def _chunk(data: bytes) -> Callable[[h5py.Group, str], None]:
    def create(group: h5py.Group, name: str) -> None:
        dataset = group.create_dataset(name, shape=(2,), dtype="f8", chunks=(2,), compression="gzip")
        dataset.id.write_direct_chunk((0,), data)

    return create


def _two_gzips(group: h5py.Group, name: str) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((2,))
    for _ in range(2):
        plist.set_deflate(9)
    space = h5py.h5s.create_simple((2,))
    h5py.h5d.create(group.id, name.encode(), h5py.h5t.IEEE_F64LE, space, plist).write(
        h5py.h5s.ALL, h5py.h5s.ALL, np.ones(2)
    )


def _deep(group: h5py.Group, name: str) -> None:
    for _ in range(40):
        group = group.create_group(name)


def _bad_text(group: h5py.Group, name: str) -> None:
    group.create_dataset(name, data=b"\xff\xfe", dtype=h5py.string_dtype())


def _huge_text(group: h5py.Group, name: str) -> None:
    group.create_dataset(name, data="x" * 100_000, dtype=h5py.string_dtype())


HOSTILE: dict[str, tuple[Edit, str]] = {
    "soft link": (_replace("r", _soft_link), "'r' in '/node/nodes/lif' is a soft or user-defined link"),
    "soft link cycle": (_replace("r", _soft_cycle), "is a soft or user-defined link"),
    "external link": (_replace("r", _external_link), "is an external link"),
    "hard link": (_replace("r", _hard_link), "every object has one name"),
    "hard link cycle": (_replace("r", _hard_cycle), "every object has one name"),
    "external storage": (_replace("r", _external_storage), "stored in other files"),
    "virtual data set": (_replace("r", _virtual), "stored in other files"),
    "32 GiB never written": (_replace("r", _never_written(None)), r"brings it to 34359738\d+"),
    "32 GiB of empty chunks": (_replace("r", _never_written((1 << 20,), "gzip")), r"brings it to 34359738\d+"),
    "one huge chunk": (_replace("r", _never_written((1 << 28,))), r"brings it to 34359738\d+"),
    "one chunk of many": (_replace("r", _one_chunk_of_many), "declares 1048576 elements and does not store them all"),
    "too many chunks": (_replace("r", _never_written((1,))), "at most 100000 chunks"),
    "object reference": (_replace("r", _reference), "numbers up to 64 bits or strings"),
    "region reference": (_replace("r", _region_reference), "numbers up to 64 bits or strings"),
    "compound": (_replace("r", _compound), "numbers up to 64 bits or strings"),
    "array type": (_replace("r", _array_type), "numbers up to 64 bits or strings"),
    "variable numbers": (_replace("r", _variable_numbers), "numbers up to 64 bits or strings"),
    "opaque": (_replace("r", _opaque), "numbers up to 64 bits or strings"),
    "complex": (_replace("r", _complex), "numbers up to 64 bits or strings"),
    "text for a number": (_replace("r", _text), "numbers are expected"),
    "number for text": (_replace("type", lambda g, n: g.create_dataset(n, data=3)), "a string is expected"),
    "null data space": (_replace("r", _null), "data sets hold data"),
    "named type": (_replace("r", _named_type), "groups and data sets"),
    "group for a number": (_replace("r", _group), "r of node 'lif' is a group"),
    "lzf": (_replace("r", _lzf), "compressed with gzip, shuffle, fletcher32 or not at all"),
    "scale offset": (_replace("r", _scale_offset), "compressed with gzip, shuffle, fletcher32 or not at all"),
    "gzip twice": (_replace("r", _two_gzips), "compressed with gzip, shuffle, fletcher32 or not at all"),
    "zeros": (_replace("r", _zeros), r"brings it to 3355\d+; is it really a model"),
    "bomb": (_replace("r", _chunk(zlib.compress(bytes(200 << 20), 9))), "decompress to the size they declare"),
    "short chunk": (_replace("r", _chunk(zlib.compress(bytes(8)))), "decompress to the size they declare"),
    "garbage chunk": (_replace("r", _chunk(b"garbage")), "decompress to the size they declare"),
    "nested 40 deep": (_replace("r", _deep), "nest at most 32 deep"),
    "text that is not UTF-8": (_replace("type", _bad_text), "the file is damaged.*utf-8"),
    "huge type": (_replace("type", _huge_text), r"node 'lif' is a 'xxx.*\.\.\.x*'"),
    "no type": (lambda node: node.__delitem__("type"), "'lif' has none"),
    "no nodes": (lambda node: node.file["node"].__delitem__("nodes"), "graph of nodes and edges"),
    "no graph": (lambda node: node.file.__delitem__("node"), "there is none"),
    "edges of numbers": (
        lambda node: _replace("edges", lambda g, n: g.create_dataset(n, data=np.zeros((3, 2))))(node.file["node"]),
        "rows of strings are expected",
    ),
    "edges of one column": (
        lambda node: _replace("edges", lambda g, n: g.create_dataset(n, data=["a", "b"]))(node.file["node"]),
        "edges are pairs",
    ),
    "slash in a name": (lambda node: node.parent.create_dataset("a/b", data=1.0), "'a' has none; names must not"),
    "unknown field": (lambda node: node.create_dataset("extra", data=1.0), "has 'extra' besides"),
    "missing field": (lambda node: node.__delitem__("tau"), "node 'lif' lacks tau"),
}


def _write_hostile(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "secret").write_bytes(SECRET)
    with h5py.File(folder / "other.h5", "w") as file:
        file["tau"] = np.ones(2)
    path = folder / f"{name}.nir"
    _write_model(path)
    with h5py.File(path, "r+") as file:
        HOSTILE[name][0](file["node/nodes/lif"])
    return path


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=HOSTILE[name][1]) as caught:
        read_nir(_write_hostile(tmp_path, name), dialect="nir")
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400 and "secret" not in message


def test_hostile_files_take_no_memory(tmp_path: Path) -> None:
    """In a process of its own, whose peak grows by less than the largest chunk of any honest file here."""
    paths = [str(_write_hostile(tmp_path, name)) for name in HOSTILE]
    script = (
        "import resource, sys\n"
        "from spikeloom.compiler.frontends.nir.reader import read_nir\n"
        "from spikeloom.hdl.errors import InputError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in sys.argv[1:]:\n"
        "    try: read_nir(path, dialect='nir')\n"
        "    except InputError: pass\n"
        "    else: sys.exit(path + ' was read')\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", script, *paths], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 32 << 10  # KiB


def test_the_model_itself_is_fine(tmp_path: Path) -> None:
    _write_model(tmp_path / "a.nir")
    assert read_nir(tmp_path / "a.nir", dialect="nir", dt=1e-4).input_shape == (3,)


@pytest.mark.parametrize("options", [{"shuffle": True}, {"fletcher32": True}, {"chunks": (1,)}, {"compression": 9}])
def test_usual_storage_is_read(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "a.nir"
    _write_model(path)
    with h5py.File(path, "r+") as file:
        node = file["node/nodes/lif"]
        _replace("r", lambda g, n: g.create_dataset(n, data=[2.0, 3.0], **{"compression": "gzip"} | options))(node)
    dynamics: Any = read_nir(path, dialect="nir", dt=1e-4).populations[0].dynamics
    assert np.array_equal(dynamics.r, [2, 3])


def test_not_a_model(tmp_path: Path) -> None:
    files = {"empty": b"", "text": b"hello", "npz": b"PK\x03\x04", "signature": b"\x89HDF\r\n\x1a\n"}
    messages = {"signature": "the file is damaged"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=messages.get(name, "is an HDF5 file")):
            read_nir(tmp_path / name, dialect="nir")
    with pytest.raises(InputError, match="is a folder or a device"):
        read_nir(tmp_path, dialect="nir")
    with pytest.raises(InputError, match=r"must exist: '.*nowhere\.nir' does not"):
        read_nir(tmp_path / "nowhere.nir", dialect="nir")
    with pytest.raises(InputError, match=r"must be readable|must exist"):
        read_nir("a\0b", dialect="nir")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is a folder or a device"):
        read_nir(tmp_path / "pipe", dialect="nir")


def test_truncated_files(tmp_path: Path) -> None:
    _write_model(tmp_path / "a.nir")
    content = (tmp_path / "a.nir").read_bytes()
    for length in range(8, len(content) - 1, len(content) // 40):
        (tmp_path / "b.nir").write_bytes(content[:length])
        with pytest.raises(InputError, match=r"damaged|not store"):
            read_nir(tmp_path / "b.nir", dialect="nir")


@pytest.mark.parametrize("limit", ["MAX_OBJECTS", "MAX_BYTES"])
def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    _write_model(tmp_path / "a.nir")
    monkeypatch.setattr(hdf5_guard, limit, 10)
    with pytest.raises(InputError, match="at most 10"):
        read_nir(tmp_path / "a.nir", dialect="nir")


def test_strings_that_share_one_copy(tmp_path: Path) -> None:
    """A thousand edges that all refer to one stored string of 100 kB."""
    path = tmp_path / "a.nir"
    _write_model(path)
    with h5py.File(path, "r+") as file:
        edges = np.array([["x" * 100_000, "b"], *[["a", "b"]] * 500], object)
        del file["node/edges"]
        dataset = file["node"].create_dataset("edges", data=edges, dtype=h5py.string_dtype())
        offset, count = dataset.id.get_offset(), dataset.size
    content = bytearray(path.read_bytes())
    content[offset : offset + 16 * count] = content[offset : offset + 16] * count
    path.write_bytes(content)
    with pytest.raises(InputError, match="strings share their storage"):
        read_nir(path, dialect="nir")


FLIP_BYTES = """
import pathlib, random, resource, sys
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.hdl.errors import InputError
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
path, rng = pathlib.Path(sys.argv[1]), random.Random(1)
content = path.read_bytes()
for _ in range(500):
    damaged = bytearray(content)
    for _ in range(rng.choice([1, 2, 8])):
        damaged[rng.randrange(len(damaged))] = rng.choice([0, 255, rng.randrange(256)])
    path.write_bytes(damaged)
    try:
        read_nir(path, dialect="nir")
    except InputError as error:
        assert "\\n" not in str(error)
"""


def test_damaged_files_never_crash(tmp_path: Path) -> None:
    """Flipped bytes: refused or harmless. In a process of its own, for the HDF5 library may crash or hang on them."""
    _write_model(tmp_path / "a.nir")
    done = subprocess.run([sys.executable, "-c", FLIP_BYTES, str(tmp_path / "a.nir")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
