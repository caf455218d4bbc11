"""The benchmark of encodings that are not built: its counts of bits."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from networks import chain
from spikeloom.compiler.plan.plan import make_plan


@pytest.fixture(scope="module")
def storage() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).resolve().parent.parent / "benchmarks"))
        return importlib.import_module("storage")


def test_codes_of_variable_length_take_what_they_should(storage: ModuleType) -> None:
    values = np.array([0, 0, 0, 0, 1, 1, 2, 3])
    assert storage.huffman_bits(values) == storage.entropy_bits(values) == 4 + 4 + 3 + 3
    assert storage.rice_bits(values) == 4 * 1 + 2 * 2 + 3 + 4
    assert storage.rice_bits(np.array([8, 9, 11])) == 3 * (2 + 3)  # two in unary, three low bits
    assert storage.huffman_bits(np.array([5, 5, 5])) == 3 and storage.entropy_bits(np.array([5, 5, 5])) == 0


def test_a_line_says_what_is_built(storage: ModuleType) -> None:
    plan = make_plan(chain(1, (20, 9, 4)), "ecp5")
    (line,) = storage.rows_of_table(plan, "small")
    shapes = plan.engines[0].form.rows.memories(plan.family)
    synapses = sum(layer.synapses for layer in plan.layers)
    built = f"{sum(shape.bits for shape in shapes.values()) / synapses:.1f}"
    blocks = sum(shape.brams for shape in shapes.values())
    assert line.startswith(f"| small | {synapses} |") and f"| {built} ({blocks}) |" in line
