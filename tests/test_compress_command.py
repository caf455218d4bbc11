"""`spikeloom compress`: what it writes, what it says, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.compression import Override, Recipe
from spikeloom.compiler.data.samples import Samples
from spikeloom.compiler.flow import compile as flow
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LIF
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.compiler.report.report import recipe_options
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

SIZES = (20, 16, 3)


def network() -> Network:
    rng = np.random.default_rng(0)
    names = (INPUT, "hidden", "out")
    dynamics = LIF(beta=0.875, threshold=1.0)
    return Network(
        input_shape=SIZES[:1],
        populations=tuple(
            Population(name=n, shape=(s,), dynamics=dynamics) for n, s in zip(names[1:], SIZES[1:], strict=True)
        ),
        projections=tuple(
            Projection(
                pre=names[i], post=names[i + 1], connectivity=Dense(weights=rng.normal(0.1, 0.4, SIZES[i : i + 2]))
            )
            for i in range(2)
        ),
        output="out",
    )


def samples(seed: int, count: int = 40) -> dict[str, Any]:
    """The labels are what the network says, so that it is right."""
    spikes = (np.random.default_rng(seed).random((count, 10, SIZES[0])) < 0.3).astype(np.uint8)
    return {"spikes": spikes, "labels": run_float(network(), spikes).predicted}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_nir(network(), "model.nir")
    np.savez("cal.npz", **samples(1))
    np.savez("test.npz", **samples(2, 60))
    return tmp_path


def run(*arguments: object) -> int:
    return main(["compress", "model.nir", "--data", "cal.npz", "--output", "small.nir", *map(str, arguments)])


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert run(*arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1
    return lines[0]


def codes(path: str) -> list[np.ndarray]:
    return [p.weights.codes if isinstance(p.weights, Quantised) else p.weights for p in read_nir(path).projections]


@pytest.mark.parametrize("method", ["magnitude", "activity", "obc", "osbc"])
def test_the_file_needs_no_further_option(folder: Path, capsys: pytest.CaptureFixture[str], method: str) -> None:
    assert run("--method", method, "--sparsity", "0.5", "--bits", "4", "--test", "test.npz", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    small = read_nir("small.nir")
    assert small.is_integer and summary["integer"] and summary["method"] == method
    zeros = np.mean(np.concatenate([c.ravel() for c in codes("small.nir")]) == 0)
    assert summary["sparsity"] == pytest.approx(zeros) and zeros >= 0.5
    accuracy = summary["accuracy"]
    assert accuracy["samples"] == 60 and accuracy["original"] == 1.0
    reference = run_reference(small, samples(2, 60)["spikes"])
    assert accuracy["compressed"] == pytest.approx(reference.accuracy(samples(2, 60)["labels"]))
    assert main(["simulate", "small.nir", "--data", "test.npz", "--executor", "reference", "--output", "out.npz"]) == 0
    with np.load("out.npz") as out:
        assert np.array_equal(out["spikes"], reference.spikes)


def test_without_bits_weights_stay_float(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--method", "magnitude", "--sparsity", "0.5") == 0
    text = capsys.readouterr().out
    assert "50.00% of all weights are zero; float weights" in text and "small.nir" in text
    assert not read_nir("small.nir").is_integer
    assert main(["simulate", "small.nir", "--data", "test.npz", "--executor", "float"]) == 0
    assert main(["simulate", "small.nir", "--data", "test.npz", "--executor", "reference"]) == 2
    assert "has float weights" in capsys.readouterr().err


def test_compressing_again_keeps_zeros(folder: Path) -> None:
    assert run("--method", "magnitude", "--sparsity", "0.5") == 0
    again = ["compress", "small.nir", "--data", "cal.npz", "--sparsity", "0.2", "--bits", "6", "--output", "again.nir"]
    for method in ("magnitude", "osbc"):
        assert main([*again, "--method", method, "--force"]) == 0
        for old, new in zip(codes("small.nir"), codes("again.nir"), strict=True):
            assert not new[old == 0].any()


def test_accuracies_are_told_with_their_confidence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = {key: np.concatenate([samples(2)[key], samples(1)[key][:5]]) for key in ("spikes", "labels")}
    np.savez("test.npz", **both)
    assert run("--method", "magnitude", "--sparsity", "0.9", "--test", "test.npz") == 0
    text = capsys.readouterr().out
    assert "accuracy on 40 test samples: 100.00% (91.24% to 100.00%) before" in text
    assert "95 % confidence" in text and "5 test samples were left out" in text


def test_an_existing_file_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("small.nir").write_text("mine")
    assert "small.nir exists; add --force" in refused(capsys, "--method", "magnitude", "--bits", "4")
    assert Path("small.nir").read_text() == "mine"
    assert "hold none" in refused_after_emptying(capsys)
    assert Path("small.nir").read_text() == "mine"
    np.savez("cal.npz", **samples(1))
    assert run("--method", "magnitude", "--bits", "4", "--force") == 0
    assert read_nir("small.nir").is_integer
    assert sorted(p.name for p in folder.iterdir()) == ["cal.npz", "model.nir", "small.nir", "test.npz"]


def refused_after_emptying(capsys: pytest.CaptureFixture[str]) -> str:
    np.savez("cal.npz", spikes=np.zeros((3, 5, SIZES[0]), np.uint8))
    return refused(capsys, "--method", "magnitude", "--bits", "4", "--force")


@pytest.mark.parametrize("method", ["magnitude", "osbc"])
def test_layers_may_differ(folder: Path, capsys: pytest.CaptureFixture[str], method: str) -> None:
    layers = ["--layer", "hidden:scheme=binary", "--layer", "out:sparsity=0,bits=6"]
    assert run("--method", method, "--sparsity", "0.5", "--bits", "4", *layers, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert [(p["bits"], p["scheme"]) for p in summary["projections"]] == [(1, "binary"), (6, "fixed_point")]
    assert summary["layers"]["out"] == {"sparsity": 0.0, "bits": 6, "scheme": None}
    hidden, out = read_nir("small.nir").projections
    assert isinstance(hidden.weights, Quantised) and isinstance(out.weights, Quantised)
    assert (hidden.weights.scheme, out.weights.bits) == ("binary", 6)
    assert set(np.unique(hidden.weights.codes)) == {-1, 0, 1}
    assert np.mean(hidden.weights.codes == 0) == pytest.approx(0.5, abs=1e-2)
    assert np.mean(out.weights.codes == 0) < 0.3
    assert main(["simulate", "small.nir", "--data", "test.npz", "--executor", "reference"]) == 0


def test_a_scheme_of_one_width_needs_no_bits(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--method", "magnitude", "--scheme", "binary", "--layer", "out:bits=5") == 0
    text = capsys.readouterr().out
    assert "binary" in text and "5 bits" in text and "integer weights" in text


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (["hiden:bits=4"], "none named 'hiden'; did you mean 'hidden'?"),
        (["x:bits=4"], "none named 'x'; the network has 'hidden', 'out'"),
        (["out:bit=4"], "got 'bit' for 'out'; did you mean bits?"),
        (["out:depth=4"], "sparsity, bits, scheme: got 'depth'"),
        (["out"], "NAME:KEY=VALUE"),
        (["out:"], "NAME:KEY=VALUE"),
        ([":bits=4"], "NAME:KEY=VALUE"),
        (["out:bits"], "bits is a whole number: got ''"),
        (["out:bits=four"], "bits is a whole number: got 'four' for the layer 'out'"),
        (["out:sparsity=much"], "sparsity is a number: got 'much'"),
        (["out:sparsity=nan"], "layer 'out': sparsity is the share"),
        (["out:sparsity=1"], "layer 'out': sparsity is the share"),
        (["out:bits=40"], "layer 'out': weights have 2 to 16 bits"),
        (["out:scheme=octal"], "layer 'out': a scheme is one of"),
        (["out:scheme=ternary,bits=4"], "layer 'out': ternary weights have 2 bits"),
        (["out:bits=1"], "1 bit are binary"),
        (["out:bits=4,bits=5"], "bits of 'out' is given twice"),
        (["out:bits=4", "out:sparsity=0.5"], "'out' is named twice"),
    ],
)
def test_mistakes_in_layers_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], layers: list[str], words: str
) -> None:
    options = [text for layer in layers for text in ("--layer", layer)]
    assert words in refused(capsys, "--method", "magnitude", "--bits", "4", *options)
    assert not Path("small.nir").exists()


def test_the_bits_of_some_layers_alone_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "--method", "magnitude", "--sparsity", "0.5", "--layer", "out:bits=4")
    assert "those into 'hidden' have none" in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "magnitude"], "has a target"),
        (["--method", "magic", "--bits", "4"], "invalid choice: 'magic'"),
        (["--bits", "0"], "must be 1 to 16"),
        (["--bits", "1"], "1 bit are binary"),
        (["--sparsity", "1"], "0 <= s < 1"),
        (["--sparsity", "1.5"], "at most 1"),
        (["--scheme", "octal", "--bits", "2"], "invalid choice: 'octal'"),
        (["--scheme", "binary", "--bits", "2"], "binary weights have 1 bit"),
        (["--scheme", "ternary", "--bits", "4"], "ternary weights have 2 bits"),
        (["--pattern", "4:2", "--bits", "4"], "n:m with 0 < n < m"),
        (["--pattern", "two:4", "--bits", "4"], "n:m with 0 < n < m"),
        (["--operation-weight", "2", "--method", "obc", "--bits", "4"], "at most 1"),
        (["--operation-weight", "0.5", "--method", "magnitude", "--bits", "4"], "weighed by obc and osbc"),
        (["--memory", "0", "--bits", "4"], "above 0"),
        (["--memory", "1e-6", "--method", "osbc", "--sparsity", "0.5", "--exact"], "memory budget"),
        (["--torch-device", "abacus", "--method", "obc", "--bits", "4"], "'abacus' is not"),
        (["--torch-device", "cuda:77", "--method", "obc", "--bits", "4"], "'cuda:77' is not"),
        (["--output", "no/small.nir", "--bits", "4"], "no does not; make it"),
        (["--test", "cal.npz", "--bits", "4"], "others than those of compression"),
        (["--test", "nothing.npz", "--bits", "4"], "nothing.npz"),
        (["--finetune", "nothing.npz", "--bits", "4"], "nothing.npz"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert words in refused(capsys, *arguments)
    assert not Path("small.nir").exists()


def test_data_of_another_shape_and_integer_networks_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez("cal.npz", spikes=np.ones((3, 5, 7), np.uint8))
    assert "its shape is (3, 5, 7)" in refused(capsys, "--bits", "4")
    np.savez("cal.npz", **samples(1))
    write_nir(quantise(network(), 4), "model.nir")
    assert "quantised already" in refused(capsys, "--bits", "4")
    board = ["compile", "model.nir", "--board", "icebreaker", "--output", "build"]
    for option in (["--bits", "4"], ["--sparsity", "0.5"], ["--method", "osbc"], ["--layer", "out:bits=4"]):
        assert main([*board, *option]) == 2
        assert f"leave out {option[0]}" in capsys.readouterr().err


def test_magnitude_needs_no_torch(folder: Path) -> None:
    script = (
        "import sys; from spikeloom.compiler.cli.main import main; "
        "status = main('compress model.nir --method magnitude --bits 4 --data cal.npz --output small.nir'.split()); "
        "sys.exit(99 if 'torch' in sys.modules else status)"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0


class _Chosen(Exception):
    """Stops a compilation where it would compress."""


@pytest.mark.parametrize(
    ("options", "calibrated", "expected"),
    [
        ({}, True, ("osbc", 0.0, 8, "fixed_point")),
        ({}, False, ("magnitude", 0.0, 8, "fixed_point")),
        ({"method": "obc", "sparsity": 0.5, "bits": 2, "scheme": "ternary"}, True, ("obc", 0.5, 2, "ternary")),
        ({"method": "obc", "scheme": "binary"}, True, ("obc", 0.0, 1, "binary")),
    ],
)
def test_compile_chooses_the_method(
    folder: Path, monkeypatch: pytest.MonkeyPatch, options: Any, calibrated: bool, expected: tuple[Any, ...]
) -> None:
    def stop(network: Network, recipe: Recipe, *rest: Any, **more: Any) -> None:
        raise _Chosen(recipe.method, recipe.sparsity, recipe.bits, recipe.scheme)

    monkeypatch.setattr(flow, "compress", stop)
    given = Samples(**samples(1)) if calibrated else None
    with pytest.raises(_Chosen) as chosen:
        flow.compile_network(network(), Path("out"), flow.CompileOptions(verilog_only=True, **options), samples=given)
    assert chosen.value.args == expected


def test_compile_takes_layers_and_records_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(network: Network, recipe: Recipe, *rest: Any, **more: Any) -> None:
        raise _Chosen(recipe)

    monkeypatch.setattr(flow, "compress", stop)
    with pytest.raises(_Chosen) as chosen:
        main(["compile", "model.nir", "--emit", "verilog", "--layer", "out:bits=5", "--debug"])
    (recipe,) = chosen.value.args
    assert recipe.overrides == {"out": Override(bits=5)} and recipe.bits == 8
    assert recipe_options(recipe)["layers"] == [{"population": "out", "sparsity": None, "bits": 5, "scheme": None}]


def test_a_target_needs_integers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "give --bits as well" in refused(capsys, "--sparsity", 0.5, "--board", "icestick")
    assert run("--sparsity", 0.5, "--bits", 4, "--method", "magnitude", "--board", "icestick") == 0
