"""Who computes a search's jobs: in order, through dead workers, without a scheduler, and without leftovers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from spikeloom.compiler.optimizer.workers import Crew, Job, Lost, in_order, make_crew
from spikeloom.hdl.errors import OptionError

distributed = pytest.importorskip("distributed")


def add(context: int, number: int) -> int:
    return context + number


def die_once(context: int, mark: str) -> int:
    """Kills the first worker that it is given to."""
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return context


def die(context: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return context


def fail(context: int) -> int:
    raise OptionError("a rule: broken")


def sleep(context: int, seconds: float, mark: str) -> None:
    """Sleeps in a tool, as a build does."""
    Path(mark).write_text(str(os.getpid()))
    time.sleep(seconds)


def results(crew: Crew, jobs: list[Job], ahead: int = 8) -> list[Any]:
    with crew:
        return [result for _, result in in_order(crew, jobs, ahead)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    ) as local:
        yield local


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_jobs(workers: int) -> None:
    jobs = [Job(add, (number,)) for number in range(12)]
    jobs[3] = Job(add, (0,), known="known already")
    heard: list[str] = []
    found = results(make_crew(100, workers, None, heard.append), jobs, ahead=3)
    assert found == [100, 101, 102, "known already", *range(104, 112)]
    assert heard == []


def test_a_job_is_asked_for_when_those_before_it_are_known() -> None:
    known: list[int] = []

    def jobs() -> Iterator[Job]:
        for number in range(6):
            assert len(known) >= number - 2
            yield Job(add, (number,))

    with make_crew(0, 1, None, print) as crew:
        for _, result in in_order(crew, jobs(), 3):
            known.append(result)
    assert known == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_job_raises_is_raised(workers: int) -> None:
    with pytest.raises(OptionError, match="a rule: broken"):
        results(make_crew(0, workers, None, print), [Job(fail, ())])


def test_a_worker_that_dies_takes_nothing_along(tmp_path: Path) -> None:
    heard: list[str] = []
    jobs = [Job(add, (1,)), Job(die_once, (str(tmp_path / "mark"),)), *(Job(add, (n,)) for n in range(2, 5))]
    assert results(make_crew(10, 2, None, heard.append), jobs) == [11, 10, 12, 13, 14]
    assert heard == ["a worker process died: what it was at is done again"]


def test_a_job_that_kills_two_workers_is_given_up_and_no_other() -> None:
    heard: list[str] = []
    found = results(
        make_crew(10, 2, None, heard.append), [Job(add, (1,)), Job(die, ()), Job(add, (2,)), Job(add, (3,))]
    )
    assert found[0] == 11 and found[2:] == [12, 13]
    assert isinstance(found[1], Lost) and "killed two workers" in found[1].reason
    assert heard[-1] == "a candidate is given up: it killed two workers"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_owner(tmp_path: Path, number: signal.Signals) -> None:
    mark = tmp_path / "worker"
    program = f"""
import signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from spikeloom.compiler.cli.interrupts import interruptible
from spikeloom.compiler.optimizer.workers import Job, in_order, make_crew
from test_fit_workers import sleep

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with interruptible(), make_crew(0, 2, None, print) as crew:
        list(in_order(crew, [Job(sleep, (600.0, {str(mark)!r}))], 8))
"""
    script = tmp_path / "owner.py"
    script.write_text(program)
    owner = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: mark.exists() and bool(mark.read_text()))
        owner.send_signal(number)
        owner.wait(60)
        wait_for(lambda: not alive(int(mark.read_text())))
    finally:
        owner.kill()


def wait_for(condition: Any) -> None:
    """Until it holds, or for two minutes."""
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it never held")


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


# -------------------------------------------------------------------------------------------------------- Dask


def test_a_scheduler_computes(cluster: Any) -> None:
    heard: list[str] = []
    jobs = [Job(add, (number,)) for number in range(5)]
    crew = make_crew(100, 1, cluster.scheduler_address, heard.append)
    assert crew.size == 2
    assert results(crew, jobs) == [100, 101, 102, 103, 104]
    assert heard == []


def test_a_scheduler_replaces_its_dead_workers(cluster: Any, tmp_path: Path) -> None:
    jobs = [Job(add, (1,)), Job(die_once, (str(tmp_path / "mark"),)), Job(add, (2,))]
    assert results(make_crew(10, 1, cluster.scheduler_address, print), jobs) == [11, 10, 12]


def test_no_scheduler_at_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikeloom.compiler.optimizer.workers.CONNECT_SECONDS", 1)
    with pytest.raises(OptionError, match=r"a scheduler answers at its address: 'tcp://127.0.0.1:9' does not \("):
        make_crew(0, 1, "tcp://127.0.0.1:9", print)
    with pytest.raises(OptionError, match=r"a scheduler answers at its address: 'no address' does not \("):
        make_crew(0, 1, "no address", print)


def test_a_scheduler_without_workers() -> None:
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as local,
        pytest.raises(OptionError, match="has none; start some with 'dask worker"),
    ):
        make_crew(0, 1, local.scheduler_address, print)


@pytest.mark.slow
def test_the_search_goes_on_without_the_scheduler() -> None:
    heard: list[str] = []
    local = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50)
    with make_crew(100, 1, local.scheduler_address, heard.append) as crew:
        found = []
        for _, result in in_order(crew, [Job(add, (number,)) for number in range(6)], 2):
            found.append(result)
            if len(found) == 2:
                local.close()
    assert found == [100, 101, 102, 103, 104, 105]
    assert len(heard) == 1 and "the search goes on here" in heard[0]
