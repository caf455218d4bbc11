"""Files that a user names: devices, pipes, sockets and what is too large, refused at once and everywhere."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from spikeloom.compiler.data.samples import load_samples
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.optimizer.database import Database
from spikeloom.compiler.output.build_folder import MANIFEST, check_file, load_build_folder, sha256
from spikeloom.compiler.plan.folding import read_folding
from spikeloom.hdl.errors import InputError, OptionError, SampleError
from spikeloom.hdl.files import open_regular, read_regular, require_regular


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """A read that waits for ever fails."""
    signal.alarm(30)
    yield
    signal.alarm(0)


def fifo(folder: Path) -> Path:
    path = folder / "fifo"
    os.mkfifo(path)
    return path


def listening(folder: Path) -> Path:
    path = folder / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    return path


def device(folder: Path) -> Path:
    path = folder / "endless"
    path.symlink_to("/dev/zero")
    return path


def subfolder(folder: Path) -> Path:
    path = folder / "inner"
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("make", "kind"),
    [(fifo, "a pipe"), (listening, "a socket"), (device, "a device"), (subfolder, "a folder")],
)
def test_only_regular_files_are_read(tmp_path: Path, make: Callable[[Path], Path], kind: str) -> None:
    path = make(tmp_path)
    for read in (read_regular, open_regular):
        with pytest.raises(SampleError) as caught:
            read(path, "a song", 10, SampleError)
        assert str(caught.value) == f"a song must be a regular file: {path} is {kind}"
    with pytest.raises(InputError, match=f"^a song must be a regular file: {path} is {kind}$"):
        require_regular(path, "a song")


def test_a_file_has_at_most_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "song"
    path.write_bytes(b"0123456789")
    assert read_regular(path, "a song", 10) == b"0123456789"
    require_regular(path, "a song")
    require_regular(tmp_path / "nothing", "a song")
    with pytest.raises(InputError, match=r"^a song must be a regular file: .* cannot be looked at \(Not a dir"):
        require_regular(path / "under a file", "a song")
    with pytest.raises(InputError) as caught:
        read_regular(path, "a song", 9)
    assert str(caught.value) == f"a song may hold at most 9 bytes: {path} is larger"
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "nothing", "a song", 9)


def test_the_bound_holds_for_files_that_hide_their_size() -> None:
    path = Path("/proc/self/status")
    if not path.is_file():
        pytest.skip("no /proc")
    assert path.stat().st_size == 0
    with pytest.raises(InputError, match="may hold at most 10 bytes"):
        read_regular(path, "a song", 10)


@pytest.mark.parametrize("make", [fifo, listening, device])
@pytest.mark.parametrize("read", [load_samples, read_folding, read_nir, sha256, Database])
def test_every_reader_refuses_what_is_no_file(
    tmp_path: Path, make: Callable[[Path], Path], read: Callable[[Path], object]
) -> None:
    with pytest.raises(InputError, match=r"regular file|is a folder or a device") as caught:
        read(make(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [fifo, device])
def test_a_build_folder_holds_files(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    make(tmp_path).rename(tmp_path / MANIFEST)
    with pytest.raises(InputError, match=r"must hold manifest\.json"):
        load_build_folder(tmp_path)


@pytest.mark.parametrize(("make", "kind"), [(fifo, "a pipe"), (listening, "a socket"), (device, "a device")])
def test_no_output_replaces_a_device(tmp_path: Path, make: Callable[[Path], Path], kind: str) -> None:
    path = make(tmp_path)
    with pytest.raises(OptionError, match=f"the output must be a regular file: .* is {kind}$"):
        check_file(path)
