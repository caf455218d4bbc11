"""The tables of networks with pooled currents and of our own for N-MNIST, on what is made here."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.convolution import Convolution
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import IF
from spikeloom.compiler.ir.pooling import Pooling, PoolKind

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def pooled() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("pooled_maps")


def network() -> Network:
    """Maxima of currents of a map of 4 x 4, and two outputs."""
    pooling = Pooling(kind=PoolKind.MAX, pre_shape=(1, 4, 4), kernel=(2, 2), stride=(2, 2))
    kernel = Convolution(
        weights=np.ones((1, 1, 3, 3)) / 3, pre_shape=(1, 4, 4), padding=((1, 1), (1, 1)), pool_after=pooling
    )
    return Network(
        input_shape=(1, 4, 4),
        populations=(
            Population(name="map", shape=(1, 2, 2), dynamics=IF(threshold=1.0)),
            Population(name="out", shape=(2,), dynamics=IF(threshold=1.0)),
        ),
        projections=(
            Projection(pre=INPUT, post="map", connectivity=kernel),
            Projection(pre="map", post="out", connectivity=Dense(weights=np.ones((4, 2)))),
        ),
        output="out",
    )


def test_a_spot_that_circles(pooled: ModuleType) -> None:
    frames = pooled.circling(1, 20)
    assert frames.shape == (1, 150, 2, 32, 32) and 15 < frames.sum() / 150 < 25 and frames.max() <= 15


def test_rows_of_pooled_maps(pooled: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    given = (np.random.default_rng(0).random((2, 5, 16)) < 0.4).astype(np.uint8)
    options = argparse.Namespace(bits=[4], steps=3, check=True, sparsity=0.0)
    (row,) = pooled.rows_of("made here", network(), given, options, None)
    assert len(row) == len(pooled.COLUMNS) and row[:3] == ["made here", "4", "lfe5u-25f"]
    assert row[3].endswith(" of 56") and float(row[8]) > 0
    told = capsys.readouterr().out.splitlines()
    assert told == [f"made here, 4 bits: {name} is exact in Amaranth's simulator" for name in ("map", "out")]
