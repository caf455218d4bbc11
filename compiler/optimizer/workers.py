"""Who computes the jobs of a search: this process, worker processes beside it, or the workers of a Dask scheduler.

Results come in the order of the jobs, whoever finishes first, so that a search does not depend on how fast its workers
are. A worker that dies takes nothing along: its jobs are given to another, and only a job that kills two workers is
given up. When this process goes, however it goes, its workers end themselves and the tools that they run.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import FrameType, TracebackType
from typing import Any, NoReturn, Protocol, Self

from ...hdl.errors import OptionError, installing
from ..threads import set_thread_defaults

Hear = Callable[[str], None]
"""Takes a line about what happened."""

GRACE_SECONDS = 5.0
"""How long a worker that must end has to stop its tools."""

CONNECT_SECONDS = 10


@dataclass(frozen=True, eq=False)
class Job:
    """A call of `function` with the search's context and `arguments`; `known` is its result if there is one already.

    `about` is for whoever receives the result.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    known: Any = None
    about: Any = None


@dataclass(frozen=True)
class Lost:
    """The result of a job that killed its workers."""

    reason: str


@dataclass(eq=False)
class Handle:
    """A job under way."""

    job: Job
    future: Any = None
    lost: Lost | None = None


class Crew(Protocol):
    """Computes jobs, up to `size` at once."""

    size: int

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def submit(self, job: Job) -> Handle:
        """Begin a job, now or when its result is asked for."""

    def result(self, handle: Handle) -> Any:
        """Wait for what the job returns, or `Lost`; raises what it raises."""


def make_crew(context: Any, workers: int, scheduler: str | None, hear: Hear) -> Crew:
    """The crew of `workers`, or of the Dask scheduler at an address. Raises OptionError where there is none."""
    if scheduler is not None:
        return DaskCrew(context, scheduler, workers, hear)
    return _local_crew(context, workers, hear)


def in_order(crew: Crew, jobs: Iterable[Job], ahead: int) -> Iterator[tuple[Job, Any]]:
    """Each job and its result, in order. A job is taken when at most `ahead` before it have not been handed out."""
    waiting: deque[tuple[Job, Handle | None]] = deque()
    source = iter(jobs)
    while True:
        while len(waiting) < ahead and (job := next(source, None)) is not None:
            waiting.append((job, None if job.known is not None else crew.submit(job)))
        if not waiting:
            return
        job, handle = waiting.popleft()
        yield job, job.known if handle is None else crew.result(handle)


def _local_crew(context: Any, workers: int, hear: Hear) -> Crew:
    return InProcess(context) if workers == 1 else Processes(context, workers, hear)


class InProcess:
    """Runs jobs here, each when its result is asked for."""

    size = 1

    def __init__(self, context: Any) -> None:
        self._context = context

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def submit(self, job: Job) -> Handle:
        return Handle(job)

    def result(self, handle: Handle) -> Any:
        return handle.job.function(self._context, *handle.job.arguments)


# --------------------------------------------------------------------------------------------------- processes


class Processes:
    """Fresh processes (spawned: a fork would copy the threads of torch). The context is sent to each once."""

    def __init__(self, context: Any, workers: int, hear: Hear) -> None:
        self._context, self.size, self._hear = context, workers, hear
        self._under_way: list[Handle] = []
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def submit(self, job: Job) -> Handle:
        handle = Handle(job)
        self._under_way.append(handle)
        try:
            handle.future = self._begin(job)
        except BrokenProcessPool:
            self._repair()
        return handle

    def result(self, handle: Handle) -> Any:
        try:
            result = handle.lost or handle.future.result()
        except BrokenProcessPool:
            self._repair()
            result = handle.lost or handle.future.result()
        self._under_way.remove(handle)
        return result

    def _open(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        listens, self._lifeline = spawn.Pipe(duplex=False)
        self._listens = listens
        threads = max(1, (os.cpu_count() or 1) // self.size)
        self._pool = ProcessPoolExecutor(
            self.size, mp_context=spawn, initializer=_start, initargs=(listens, self._context, threads)
        )

    def _close(self) -> None:
        self._lifeline.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._listens.close()

    def _begin(self, job: Job) -> Future[Any]:
        return self._pool.submit(_call, job.function, job.arguments)

    def _repair(self) -> None:
        """After a worker died: every job that has no result runs again, alone, so that the one that kills is found."""
        self._hear("a worker process died: what it was at is done again")
        self._reopen()
        for handle in self._under_way:
            if handle.lost or _succeeded(handle.future):
                continue
            handle.future = self._begin(handle.job)
            if isinstance(handle.future.exception(), BrokenProcessPool):
                handle.lost = Lost("it killed two workers; the machine may have run out of memory")
                self._hear("a candidate is given up: it killed two workers")
                self._reopen()

    def _reopen(self) -> None:
        self._close()
        self._open()


def _succeeded(future: Future[Any] | None) -> bool:
    return (
        future is not None
        and future.done()
        and not future.cancelled()
        and not isinstance(future.exception(), BrokenProcessPool)
    )


_context: Any = None
"""In a worker process: the context of its search."""


def _start(lifeline: Connection, context: Any, threads: int) -> None:
    """Begin a worker process."""
    global _context
    _context = context
    set_thread_defaults(threads)  # torch, which is not loaded yet, keeps to it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the owner, who ends the workers
    signal.signal(signal.SIGTERM, _terminate)
    threading.Thread(target=_follow, args=(lifeline,), daemon=True).start()


def _follow(lifeline: Connection) -> None:
    """End this worker when the other end of the line is closed: by its owner, or by the owner's death."""
    try:
        lifeline.recv()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Unwind, which stops a tool that runs; the pool would keep a worker that only unwinds."""
    last_word = threading.Timer(GRACE_SECONDS, os._exit, (1,))
    last_word.daemon = True
    last_word.start()
    raise SystemExit(1)


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return function(_context, *arguments)


# -------------------------------------------------------------------------------------------------------- Dask


class DaskCrew:
    """The workers of a Dask scheduler; when it is gone, the jobs are done here with `workers` processes."""

    def __init__(self, context: Any, address: str, workers: int, hear: Hear) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise OptionError(
                f"a scheduler needs Dask, which is not installed: {installing('fit')}, or leave it out"
            ) from None
        self._context, self._workers, self._hear = context, workers, hear
        self._stand_in: Crew | None = None
        self._remote: list[Handle] = []
        self._address = address
        try:
            self._client: Any = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise OptionError(
                f"a scheduler answers at its address: {address!r} does not ({type(error).__name__}); start one with "
                "'dask scheduler', or leave it out"
            ) from None
        try:
            self.size = sum(self._client.nthreads().values())
            if not self.size:
                raise OptionError(
                    f"a scheduler has workers: {address} has none; start some with 'dask worker {address}'"
                )
            self._shared = self._client.scatter(context, broadcast=True, hash=False)
        except BaseException:
            self._client.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stand_in is not None:
            self._stand_in.__exit__(kind, error, trace)
        self._client.close(timeout=GRACE_SECONDS)

    def submit(self, job: Job) -> Handle:
        if self._stand_in is not None:
            return self._stand_in.submit(job)
        try:
            future = self._client.submit(job.function, self._shared, *job.arguments, pure=False)
        except Exception as error:
            return self._go_on_here(error).submit(job)
        handle = Handle(job, future)
        self._remote.append(handle)
        return handle

    def result(self, handle: Handle) -> Any:
        from distributed.scheduler import KilledWorker

        if handle not in self._remote:
            assert self._stand_in is not None
            return self._stand_in.result(handle)
        self._remote.remove(handle)
        try:
            return handle.future.result()
        except KilledWorker:
            self._hear("a candidate is given up: it killed the workers that it was given to")
            return Lost("it killed the workers that it was given to")
        except (CancelledError, OSError, TimeoutError, RuntimeError) as error:
            crew = self._go_on_here(error)
        return crew.result(crew.submit(handle.job))

    def _go_on_here(self, error: Exception) -> Crew:
        if self._stand_in is None:
            self._hear(f"the scheduler at {self._address} is gone ({type(error).__name__}): the search goes on here")
            self._stand_in = _local_crew(self._context, self._workers, self._hear)
        return self._stand_in
