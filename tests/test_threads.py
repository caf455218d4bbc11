"""Threads of numerical libraries: passive and no more than processors, unless the user says otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from spikeloom.compiler import threads

NAMES = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "SPIKELOOM_OMP_NUM_THREADS")


def settings(code: str, **given: str) -> dict[str, str]:
    """What stands in the environment of a new process that runs `code`; tests that started Dask have left settings."""
    others = ("OMP_", "GOMP_", "KMP_", "MKL_", "SPIKELOOM_OMP")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(others)}
    script = f"{code}\nimport json, os; print(json.dumps({{n: os.environ[n] for n in {NAMES} if n in os.environ}}))"
    process = subprocess.run([sys.executable, "-c", script], env=clean | given, capture_output=True, check=True)
    found: dict[str, str] = json.loads(process.stdout)
    return found


def test_importing_the_compiler_sets_them_and_loads_no_torch() -> None:
    count = str(threads.usable_processors())
    code = "import spikeloom.compiler, sys; assert 'torch' not in sys.modules"
    expected = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": count, "SPIKELOOM_OMP_NUM_THREADS": count}
    assert settings(code) == expected


def test_what_the_user_has_set_stays() -> None:
    code = "import spikeloom.compiler"
    assert settings(code, OMP_WAIT_POLICY="ACTIVE", OMP_NUM_THREADS="7") == {
        "OMP_WAIT_POLICY": "ACTIVE",
        "OMP_NUM_THREADS": "7",
    }
    assert "OMP_WAIT_POLICY" not in settings(code, GOMP_SPINCOUNT="100")
    worker = "from spikeloom.compiler.threads import set_thread_defaults; set_thread_defaults(3)"
    assert settings(worker)["OMP_NUM_THREADS"] == "3"  # the import's own choice gives way
    assert settings(worker, OMP_NUM_THREADS="7")["OMP_NUM_THREADS"] == "7"


@pytest.mark.parametrize(
    ("text", "count"), [("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1), ("nonsense", 8), ("1 0", 8)]
)
def test_a_containers_share_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, count: int) -> None:
    quota = tmp_path / "cpu.max"
    quota.write_text(text + "\n")
    monkeypatch.setattr(threads, "_CGROUP_QUOTA", quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert threads.usable_processors() == count


def test_torch_keeps_to_them() -> None:
    pytest.importorskip("torch")
    code = "import spikeloom.compiler, torch, os; os.environ['OMP_NUM_THREADS'] = str(torch.get_num_threads())"
    assert settings(code)["OMP_NUM_THREADS"] == str(threads.usable_processors())
