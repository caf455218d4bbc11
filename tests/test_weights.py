"""Quantised weights as `.npz`: what they become, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.flow.models import read_model
from spikeloom.hdl.errors import ModelError, OptionError
from spikeloom.sim.simulate import simulate
from studio_page import write_samples, write_weights

CODES = np.array([[3, 0, -7], [0, 1, 2]], np.int8)


def saved(path: Path, **arrays: Any) -> Path:
    """A file with these arrays, `__` in their names a dot."""
    np.savez(path, **{name.replace("__", "."): np.asarray(array) for name, array in arrays.items()})
    return path


@pytest.mark.parametrize("own", [{}, {"a__sub": 0.75}], ids=["threshold", "sub"])
def test_codes_are_kept_and_stand_for_leaky_neurons(tmp_path: Path, own: dict[str, float]) -> None:
    neurons = {"a__scale": [0.5, 0.25], "a__beta": 0.875, "a__threshold": 1.25}
    file = saved(tmp_path / "w.npz", a__weight=CODES, **neurons, **own)
    network = read_model(file)
    assert network.is_integer and network.dialect == "snntorch"
    (projection,) = network.projections
    assert np.array_equal(projection.connectivity.codes, CODES.T) and projection.connectivity.quantised.bits == 4
    real = read_model(file, real=True)
    assert np.allclose(real.projections[0].connectivity.real, (CODES * [[0.5], [0.25]]).T)
    spikes = (np.random.default_rng(1).random((4, 20, 3)) < 0.5).astype(np.uint8)
    expected, membrane, fired = [], np.zeros((4, 2)), np.zeros((4, 2))
    for step in range(20):
        membrane = 0.875 * membrane + spikes[:, step] @ (CODES * [[0.5], [0.25]]).T - own.get("a__sub", 1.25) * fired
        fired = (membrane > 1.25).astype(float)
        expected.append(fired)
    found = simulate(real, spikes, executor="float").populations["a"].spikes
    assert np.array_equal(found, np.stack(expected, axis=1))


def test_every_command_takes_them_and_compresses_where_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "w.npz"
    write_weights(file)
    assert main(["inspect", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["level"] == "integer"
    assert main(["estimate", str(file), "--method", "magnitude", "--sparsity", "0.8", "--bits", "3", "--json"]) == 0
    compressed = json.loads(capsys.readouterr().out)
    assert main(["estimate", str(file), "--json"]) == 0
    assert compressed["work_per_sample"] != json.loads(capsys.readouterr().out)["work_per_sample"]
    write_samples(tmp_path / "samples.npz")
    assert main(["inspect", str(tmp_path / "samples.npz")]) == 2


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a__weight": CODES, "a__wight": CODES}, "arrays are called NAME.PART"),
        ({"a__weight": CODES, "b__beta": 0.5}, "every layer has weights"),
        ({"a__weight": CODES, "b__weight": CODES}, "takes 3 values, 2 arrive"),
        ({"a__weight": CODES * 1.0}, "arrays hold integers; quantise them first"),
        ({"a__weight": CODES[0]}, "weights are \\[outputs, inputs\\]"),
        ({"a__weight": CODES.astype(np.int64) << 20}, "at most 16 bits"),
        ({"a__weight": CODES, "a__beta": 1.5}, "beta is 0 to 1"),
        ({"a__weight": CODES, "a__scale": 0.0}, "scale is above 0"),
        ({"a__weight": CODES, "a__threshold": [1.0, 2.0, 3.0]}, "one number or one per output"),
        ({"a__weight": CODES, "a__beta": np.nan}, "finite numbers"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        read_model(saved(tmp_path / "w.npz", **arrays))


def test_conventions_are_not_asked_for(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="leave out --dialect"):
        read_model(saved(tmp_path / "w.npz", a__weight=CODES), dialect="norse")
