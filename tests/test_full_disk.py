"""A disk that fills up: one line, status 1 or 2, and nothing half-written, wherever the room ends."""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path

import pytest
from spikeloom.compiler import write_nir
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.data.samples import load_samples
from spikeloom.compiler.explain import LONGEST_LINE
from spikeloom.compiler.lowering.quantise import quantise
from test_cli import data, model, small_network  # noqa: F401  the fixtures


def with_room_for(most_bytes: int, command: list[str]) -> tuple[int, str]:
    """Status and words of a command in a process none of whose files may be longer."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as a full disk does: an error, no signal
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
            sys.stdout = sys.stderr = os.fdopen(writing, "w")
            status = main(command)
            sys.stdout.flush()
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as words:
        text = words.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


COMMANDS = {
    "simulate": "simulate integers.nir --data samples.npz --membranes --output out.npz",
    "compress": "compress small.nir --data samples.npz --method magnitude --bits 4 --fire gt --output out.nir",
    "compile": "compile small.nir --emit verilog --method magnitude --fire gt --output out",
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("model", "data")
def test_a_full_disk_is_one_line(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_nir(quantise(small_network(), 4), tmp_path / "integers.nir")
    load_samples(tmp_path / "samples.npz")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for most_bytes in (0, 100, 3000, 50_000, 100_000):
        status, text = with_room_for(most_bytes, COMMANDS[command].split())
        lines = [line for line in text.splitlines() if "error" in line.lower()]
        if status == 0 and most_bytes > 100:
            break
        assert status in (1, 2) and len(lines) == 1, (most_bytes, status, lines)
        assert "File too large" in lines[0] and "internal" not in lines[0] and len(lines[0]) < 300
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_message_has_a_bounded_length(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["x" * 100_000]) == 2
    line = capsys.readouterr().err.strip()
    assert len(line) < LONGEST_LINE + 100 and "..." in line and line.endswith("see spikeloom --help")
