"""Weights of quantisation-aware training: codes and scales come out as they went in, for any framework's grid."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.compression.apply import compress
from spikeloom.compiler.compression.kept import lies_on_grid, method_of
from spikeloom.compiler.compression.recipe import Override, Recipe
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LI, LIF, Dynamics
from spikeloom.compiler.lowering.quantise import dequantise
from spikeloom.hdl.errors import ModelError, OptionError
from spikeloom.sim.float_executor import run_float

FIRING = LIF(beta=0.5, threshold=1.0)


def grid(shape: tuple[int, int], bits: int, seed: int) -> np.ndarray:
    """Codes whose columns have no common factor: each holds its largest code and a 1."""
    limit = 2 ** (bits - 1) - 1
    codes = np.random.default_rng(seed).integers(-limit, limit + 1, shape)
    codes[0], codes[1] = limit, 1
    return codes


def scales(kind: str, count: int) -> np.ndarray:
    """Float32, as frameworks store them: one of a tensor, powers of two (Brevitas), one for each channel (torch)."""
    if kind == "channels":
        return np.random.default_rng(5).uniform(0.01, 0.2, count).astype(np.float32)
    return np.full(count, {"tensor": 0.0371, "powers": 0.125}[kind], np.float32)


def network(weights: Mapping[tuple[str, str], np.ndarray], output: Dynamics = FIRING) -> Network:
    sizes = {post: values.shape[1] for (_, post), values in weights.items()}
    return Network(
        input_shape=(weights[INPUT, "hidden"].shape[0],),
        populations=tuple(
            Population(name=n, shape=(s,), dynamics=output if n == "out" else FIRING, bias=np.zeros(s))
            for n, s in sizes.items()
        ),
        projections=tuple(
            Projection(pre=pre, post=post, connectivity=Dense(weights=values.astype(np.float64)))
            for (pre, post), values in weights.items()
        ),
        output="out",
    )


def trained(kind: str, bits: int, output: Dynamics = FIRING) -> tuple[Network, list[np.ndarray], list[np.ndarray]]:
    """A network 20-12-5 as a framework exports it, its codes and its scales."""
    codes = [grid((20, 12), bits, 1), grid((12, 5), bits, 2)]
    steps = [scales(kind, 12), scales(kind, 5)]
    hidden, out = (c.astype(np.float32) * s for c, s in zip(codes, steps, strict=True))
    return network({(INPUT, "hidden"): hidden, ("hidden", "out"): out}, output), codes, steps


def spikes() -> np.ndarray:
    return (np.random.default_rng(3).random((20, 10, 20)) < 0.3).astype(np.uint8)


@pytest.mark.parametrize("kind", ["tensor", "powers", "channels"])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_codes_and_scales_are_those_of_the_training(kind: str, bits: int) -> None:
    net, codes, steps = trained(kind, bits)
    result, report = compress(net, Recipe(method="keep"), spikes())
    for projection, wanted, scale in zip(result.projections, codes, steps, strict=True):
        found = projection.connectivity.quantised
        assert np.array_equal(found.codes, wanted) and found.bits == bits
        assert np.array_equal(np.broadcast_to(found.scale, scale.shape).astype(np.float32), scale)
    assert [p.bits for p in report.projections] == [bits, bits]
    assert not report.losses or max(report.losses.values()) < 1e-12
    before, after = run_float(net, spikes()), run_float(dequantise(result), spikes())
    assert np.mean(before.populations["out"].spikes != after.populations["out"].spikes) < 0.01


def test_a_readout_keeps_one_grid_and_refuses_several() -> None:
    net, codes, _ = trained("tensor", 4, LI(beta=0.8))
    result, _ = compress(net, Recipe(method="keep"), spikes())
    out = result.projections[1].connectivity.quantised
    assert np.array_equal(out.codes, codes[1]) and len(np.unique(out.scale)) == 1
    with pytest.raises(ModelError, match=r"'out' do not .*one grid for all its neurons"):
        compress(trained("channels", 4, LI(beta=0.8))[0], Recipe(method="keep"), spikes())


def test_projections_into_a_population_share_a_grid() -> None:
    step = np.float32(0.05)
    weights = {
        (INPUT, "hidden"): grid((20, 12), 4, 1),
        ("hidden", "out"): grid((12, 5), 4, 2),
        (INPUT, "out"): grid((20, 5), 3, 4),
    }
    net = network({pair: codes.astype(np.float32) * step for pair, codes in weights.items()})
    result, _ = compress(net, Recipe(method="keep"), spikes())
    for projection in result.projections:
        assert np.array_equal(projection.connectivity.codes, weights[projection.pre, projection.post])


def test_small_weights_of_neurons_that_never_fire_keep_their_codes() -> None:
    """Rounding anew would coarsen them, as they hardly move their membrane."""
    net, codes, steps = trained("channels", 4)
    tiny = net.projections[0].connectivity.real.copy()
    tiny[:, 0] *= 2.0**-12
    tiny[:, 1] = 0
    first = replace(net.projections[0], connectivity=Dense(weights=tiny))
    result, _ = compress(replace(net, projections=(first, net.projections[1])), Recipe(method="keep"), spikes())
    found = result.projections[0].connectivity.quantised
    assert np.array_equal(found.codes[:, 0], codes[0][:, 0]) and not found.codes[:, 1].any()
    assert found.scale[0] == steps[0][0] * 2.0**-12


def test_weights_on_no_grid_are_refused_with_population_and_neuron() -> None:
    net, _, _ = trained("channels", 4)
    off = net.projections[0].connectivity.real.copy()
    off[3, 7] *= 1.001
    other = replace(net, projections=(replace(net.projections[0], connectivity=Dense(weights=off)), net.projections[1]))
    with pytest.raises(ModelError, match=r"grid of at most 8 bits: those into 'hidden' do not .*neuron 7"):
        compress(other, Recipe(method="keep"), spikes())
    with pytest.raises(ModelError, match="grid of at most 3 bits"):
        compress(net, Recipe(method="keep", bits=3), spikes())


@pytest.mark.parametrize(
    "options", [{"sparsity": 0.5}, {"scheme": "ternary", "bits": 2}, {"overrides": {"out": Override(bits=4)}}]
)
def test_a_recipe_that_keeps_weights_changes_none(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="keep takes all weights as they are"):
        Recipe(method="keep", **options)


def test_keeping_is_the_default_where_weights_lie_on_a_grid_that_is_fine_enough() -> None:
    net = trained("channels", 4)[0]
    assert lies_on_grid(net, 4) and not lies_on_grid(net, 3)
    assert method_of(net, 8, calibrated=False) == "keep"
    for bits in (3, 17):
        with pytest.warns(UserWarning, match="by magnitude"):
            assert method_of(net, bits, calibrated=False) == "magnitude"


def test_the_command_keeps_what_lies_on_a_grid_unless_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net, codes, _ = trained("channels", 4)
    write_nir(net, tmp_path / "qat.nir")
    np.savez_compressed(tmp_path / "cal.npz", spikes=spikes())
    command = ["compress", str(tmp_path / "qat.nir"), "--data", str(tmp_path / "cal.npz"), "--bits", "8", "--force"]
    command += ["--output", str(tmp_path / "small.nir")]
    assert main(command) == 0
    assert "Compressed by keep" in capsys.readouterr().out
    small = read_nir(tmp_path / "small.nir")
    assert all(np.array_equal(p.connectivity.codes, c) for p, c in zip(small.projections, codes, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main([*command, "--method", "magnitude"]) == 0
    assert "Compressed by magnitude" in capsys.readouterr().out
