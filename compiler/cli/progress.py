"""Progress on standard error: a bar on a terminal, and in a pipe a line at the start and one every half minute."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]

EVERY_SECONDS = 30.0
"""Between two lines of a step that lasts, where nobody sees a bar."""


def tell(message: str) -> None:
    """One line of progress on stderr."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def progress_bar(label: str) -> Iterator[Progress | None]:
    """A progress bar on stderr where that is a terminal; else the label, and while it lasts how far it is."""
    with _bar(label) if sys.stderr.isatty() else _lines(label) as update:
        yield update


@contextmanager
def _lines(label: str) -> Iterator[Progress]:
    tell(label)
    over, started, state = threading.Event(), time.monotonic(), [0, 0]

    def speak() -> None:
        while not over.wait(EVERY_SECONDS):
            done, total = state
            elapsed = time.monotonic() - started
            far = f"{done} of {total}, " if total else ""
            left = f", about {elapsed * (total - done) / done:.0f} s left" if 0 < done < total else ""
            tell(f"{label}: {far}{elapsed:.0f} s so far{left}")

    def update(done: int, total: int) -> None:
        state[:] = done, total

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    try:
        yield update
    finally:
        over.set()
        speaker.join()


@contextmanager
def _bar(label: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Count(ProgressColumn):
        """Done of all; nothing of a step that does not count."""

        def render(self, task: Task) -> Text:
            counted = task.total is not None and task.fields["counts"]
            return Text(f"{task.completed:.0f}/{task.total:.0f}" if counted else "")

    class Left(TimeRemainingColumn):
        """How long it will take, while that can be told."""

        def render(self, task: Task) -> Text:
            running = task.total is not None and task.fields["counts"] and not task.finished
            return Text("left: ") + super().render(task) if running else Text("")

    columns = (TextColumn("{task.description}"), BarColumn(), Count(), TimeElapsedColumn(), Left())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None, counts=False)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, counts=True)

        yield update
        if not bar.tasks[0].fields["counts"]:  # a bar without an end would stay empty
            bar.update(task, completed=1, total=1)
