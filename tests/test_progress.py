"""Progress: a bar that ends full on a terminal, and lines in a pipe."""

from __future__ import annotations

import io
import threading

import pytest
from spikeloom.compiler.cli import progress
from spikeloom.compiler.cli.progress import progress_bar


class Terminal(io.StringIO):
    """A standard error that somebody looks at."""

    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """One that stands in for the real one from now on: pytest puts its own there before each test."""
    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return shown


def test_a_step_that_counts_nothing_ends_with_a_full_bar_and_no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    with progress_bar("writing the core"):
        pass
    last = [line for line in shown.getvalue().splitlines() if "writing" in line][-1]
    assert "?" not in last and "/" not in last and "left" not in last


def test_a_step_that_counts_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    with progress_bar("comparing") as update:
        assert update is not None
        update(3, 4)
        update(4, 4)
    last = [line for line in shown.getvalue().splitlines() if "comparing" in line][-1]
    assert "4/4" in last and "left" not in last


def test_a_long_step_in_a_pipe_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.01)
    said: list[str] = []
    spoke = threading.Event()

    def hear(message: str) -> None:
        said.append(message)
        if "2 of 5, " in message and "s so far, about " in message and message.endswith(" s left"):
            spoke.set()

    monkeypatch.setattr(progress, "tell", hear)
    with progress_bar("comparing") as update:
        assert update is not None
        update(2, 5)
        assert spoke.wait(60)
    assert said[0] == "comparing"


def test_a_short_step_in_a_pipe_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("comparing"):
        pass
    assert capsys.readouterr().err == "comparing\n"
