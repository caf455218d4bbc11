"""How many threads numerical libraries use, and what these do while they wait: settings for before they are loaded.

OpenMP's threads, which are torch's, spin while they wait for one another. Our tensors are small and waits are many, so
on a machine with other load that costs many times the processor time of the work (docs/compression.md).
"""

from __future__ import annotations

import math
import os
from pathlib import Path

_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_OURS = "SPIKELOOM_OMP_NUM_THREADS"
_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def set_thread_defaults(threads: int | None = None) -> None:
    """Have OpenMP's threads wait passively, and be `threads`, or as many as there are processors to run them.

    What the user has set stays. It counts for libraries that are loaded later, and in processes that are started: these
    know by a variable of our own what was not the user's.
    """
    if not any(name in os.environ for name in _WAITING):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    if os.environ.get("OMP_NUM_THREADS") in (None, os.environ.get(_OURS)):
        os.environ["OMP_NUM_THREADS"] = os.environ[_OURS] = str(threads or usable_processors())


def usable_processors() -> int:
    """The processors that this process may use: a container's share may be less than the machine has."""
    count = len(os.sched_getaffinity(0))
    try:
        quota, period = _CGROUP_QUOTA.read_text(encoding="ascii").split()
        count = count if quota == "max" else min(count, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        pass  # no such share
    return max(1, count)
