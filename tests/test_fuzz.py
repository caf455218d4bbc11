"""Random networks in random hardware equal an oracle of the contract that shares nothing with the product."""

from __future__ import annotations

from fuzz.cases import cases
from fuzz.check import check_case
from fuzz.oracle import Data
from hypothesis import HealthCheck, assume, given, settings
from spikeloom.hdl.errors import CapacityError

CI = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


@CI
@given(cases())
def test_random_cores_equal_the_oracle(case: Data) -> None:
    try:
        check_case(case)
    except CapacityError:
        assume(False)
