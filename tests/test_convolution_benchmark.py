"""The table of the convolutional network, on recordings made here."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.convolution import Convolution
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import IF, Fire

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("convolution")


def network() -> Network:
    kernel = Convolution(weights=np.ones((1, 2, 17, 17)), pre_shape=(2, 34, 34), stride=(17, 17))
    matrix = np.zeros((4, 3))
    matrix[:3] = np.eye(3)
    return Network(
        input_shape=(2, 34, 34),
        populations=(
            Population(name="map", shape=(1, 2, 2), dynamics=IF(threshold=1.0, fire=Fire.GE)),
            Population(name="out", shape=(3,), dynamics=IF(threshold=1.0, fire=Fire.GE)),
        ),
        projections=(
            Projection(pre=INPUT, post="map", connectivity=kernel),
            Projection(pre="map", post="out", connectivity=Dense(weights=matrix)),
        ),
        output="out",
    )


def test_recordings_are_judged_in_float_and_in_integers(benchmark: ModuleType, tmp_path: Path) -> None:
    """Recording n has 40 events in quarter n of the sensor, one in each of 40 steps."""
    corner = np.array([[2, 3], [20, 3], [2, 20]])
    x, y = (np.repeat(corner[:, axis], 40) for axis in (0, 1))
    events = {"x": x, "y": y, "p": np.zeros(120, np.uint8), "t_us": np.tile(np.arange(40) * 1000 + 5, 3)}
    np.savez(tmp_path / "a.npz", **events, offsets=np.arange(4) * 40, label=np.arange(3))
    spikes, labels = benchmark.recordings(tmp_path / "a.npz", slice(0, 3))
    assert spikes.shape == (3, 300, 2, 34, 34) and spikes.sum() == 120 and sorted(labels) == [0, 1, 2]
    rows = list(benchmark.rows_of(network(), "made here", spikes, labels, [8], spikes))
    assert [row[:3] for row in rows] == [
        ["made here", "float (float32)", "100.0 %"],
        ["made here", "8 bits", "100.0 %"],
    ]
    assert all(row[3] == "40 40" and len(row) == len(benchmark.COLUMNS) for row in rows)


def test_the_page_has_the_table_of_this_benchmark(benchmark: ModuleType) -> None:
    page = (ROOT / "docs" / "compression.md").read_text(encoding="utf-8")
    assert f"| {' | '.join(benchmark.COLUMNS)} |" in page
    assert all(f"| {title} | 4 bits |" in page for title in benchmark.READINGS)
