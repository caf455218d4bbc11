"""Where compressed networks come from: what files keep of it, what reports say of it, what hostile files may not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from spikeloom.compiler import load_samples, quantise, read_nir, write_nir
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.flow.measure import known_accuracy
from spikeloom.compiler.ir.origin import Compression, Judged, LayerCompression, Origin
from spikeloom.compiler.ir.verifier import verify
from spikeloom.compiler.report.wording import accuracy_text
from spikeloom.hdl.errors import InputError, ModelError
from spikeloom.sim import simulate
from test_compress_command import network, samples

JUDGED = Judged(share=0.75, samples=60, stimulus="test", readout="spikes")
ORIGIN = Origin(
    steps=(
        Compression(method="osbc", sparsity=0.9),
        Compression(
            method="magnitude",
            sparsity=0.0,
            bits=4,
            layers=(LayerCompression(population="out", bits=6), LayerCompression(population="hidden", sparsity=0.5)),
        ),
    ),
    original=replace(JUDGED, share=1.0),
    compressed=JUDGED,
    errors=((0.1, 0.2, 0.3, 0.0, 0.0, 0.25), (1e-3, 0.0, 0.0, 0.5, 0.0, 0.0)),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_nir(network(), "model.nir")
    np.savez("cal.npz", **samples(1))
    np.savez("plain.npz", spikes=samples(1)["spikes"])
    np.savez("test.npz", **samples(2, 60))
    return tmp_path


@pytest.mark.parametrize(
    "origin", [ORIGIN, replace(ORIGIN, errors=(), compressed=None), Origin(steps=ORIGIN.steps[:1])]
)
def test_files_keep_the_origin(tmp_path: Path, origin: Origin) -> None:
    for net in (network(), quantise(network(), 4)):
        write_nir(replace(net, origin=origin), tmp_path / "n.nir")
        assert read_nir(tmp_path / "n.nir").origin == origin


def test_older_files_know_of_no_leak_of_an_adaptation(tmp_path: Path) -> None:
    file = tmp_path / "n.nir"
    write_nir(replace(network(), origin=ORIGIN), file)
    with h5py.File(file, "r+") as content:
        found: list[str] = []
        content.visit(found.append)
        group = content[next(name for name in found if name.endswith("/origin"))]
        edited("errors", group["errors"][:, :5])(group)
    read = read_nir(file).origin
    assert read is not None and read.errors == tuple((*row[:5], 0.0) for row in ORIGIN.errors)


def test_a_network_without_one_writes_nothing(tmp_path: Path) -> None:
    write_nir(network(), tmp_path / "n.nir")
    assert b"origin" not in (tmp_path / "n.nir").read_bytes() and read_nir(tmp_path / "n.nir").origin is None


def edited(path: str, value: Any) -> Callable[[Any], None]:
    def edit(group: Any) -> None:
        if path in group:
            del group[path]
        if value is not None:
            group[path] = value

    return edit


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("steps/0/method", "a\nb", "texts are lines of 1 to 200 characters: got 'a\\\\nb'"),
        ("steps/0/method", "x" * 100_000, "texts are lines of 1 to 200 characters: got 'xxxx"),
        ("steps/0/method", np.int64(3), "a string is expected"),
        ("steps/0/sparsity", np.float64(2.0), "a sparsity is a share: got 2.0"),
        ("steps/0/sparsity", np.float64(np.nan), "is one finite number"),
        ("steps/1/bits", np.int64(99), "compressed weights have 1 to 16 bits: got 99"),
        ("steps/1/layers/0/bits", np.int64(-1), "compressed weights have 1 to 16 bits: got -1"),
        ("steps/1/layers/0/population", "", "texts are lines of 1 to 200 characters: got ''"),
        ("steps/1/layers/2/population", "third", "a population's compression differs once: got 3 of 2 populations"),
        ("steps/1/colour", "red", "is not part of the schema"),
        ("steps", None, "is a group, got 'nothing'"),
        ("original/share", np.float64(1.5), "an accuracy is a share of calibration or test samples: got 1.5 of 60"),
        ("original/samples", np.int64(0), "an accuracy is a share of calibration or test samples: got 1.0 of 0"),
        ("original/stimulus", "wishes", "got 1.0 of 60 'wishes'"),
        ("original/readout", None, "is a string, got 'nothing'"),
        ("errors", np.zeros((2, 4)), "errors of a compression are 6 for each population"),
        ("errors", np.zeros((3, 5)), "errors of a compression are 6 for each population"),
        ("errors", np.zeros(5), "have the shape"),
        ("errors", -np.ones((2, 5)), "finite and not below 0"),
        ("author", "me", "is not part of the schema"),
    ],
)
def test_hostile_origins_are_refused(tmp_path: Path, path: str, value: Any, message: str) -> None:
    file = tmp_path / "n.nir"
    write_nir(replace(network(), origin=ORIGIN), file)
    with h5py.File(file, "r+") as content:
        found: list[str] = []
        content.visit(found.append)
        edited(path, value)(content[next(name for name in found if name.endswith("/origin"))])
    with pytest.raises(InputError, match=message) as caught:
        read_nir(file)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_there_is_an_end_to_compressing_again() -> None:
    verify(replace(network(), origin=Origin(steps=ORIGIN.steps[:1] * 16)))
    with pytest.raises(ModelError, match="went through 1 to 16 compressions: got 17"):
        verify(replace(network(), origin=Origin(steps=ORIGIN.steps[:1] * 17)))
    with pytest.raises(ModelError, match="went through 1 to 16 compressions: got 0"):
        verify(replace(network(), origin=Origin(steps=())))


# ----------------------------------------------------------------------------------------------------- the command


def compress(model: str, output: str, options: str) -> Origin:
    assert main(f"compress {model} --method magnitude --output {output} {options}".split()) == 0
    origin = read_nir(output).origin
    assert origin is not None
    return origin


def share(file: str, data: str, executor: str) -> float:
    net = read_nir(file)
    labelled = load_samples(data, net)
    assert labelled.labels is not None
    return simulate(net, labelled.spikes, executor=executor).accuracy(labelled.labels)


def test_compress_writes_where_its_network_came_from(folder: Path) -> None:
    origin = compress(
        "model.nir", "small.nir", "--data cal.npz --test test.npz --sparsity 0.8 --bits 3 --layer out:bits=5"
    )
    assert origin.steps == (
        Compression(method="magnitude", sparsity=0.8, bits=3, layers=(LayerCompression(population="out", bits=5),)),
    )
    own = share("small.nir", "test.npz", "reference")
    assert origin.original == replace(JUDGED, share=1.0) and origin.compressed == replace(JUDGED, share=own)
    assert own < 1.0 and [len(row) for row in origin.errors] == [6, 6] and origin.errors[0][0] > 0.05


def test_without_test_samples_it_is_the_labelled_calibration_samples(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    origin = compress("model.nir", "small.nir", "--data cal.npz --bits 3")
    assert "accuracy on 40 calibration samples: 100.00% (" in capsys.readouterr().out
    assert origin.original == Judged(share=1.0, samples=40, stimulus="calibration", readout="spikes")
    origin = compress("model.nir", "plain.nir", "--data plain.npz --bits 3")
    assert origin.original is None and origin.compressed is None


def test_the_original_stays_the_first_one(folder: Path) -> None:
    pruned = compress("model.nir", "pruned.nir", "--data cal.npz --test test.npz --sparsity 0.8")
    origin = compress("pruned.nir", "small.nir", "--data cal.npz --test test.npz --bits 3")
    assert [(step.sparsity, step.bits) for step in origin.steps] == [(0.8, None), (0.0, 3)]
    assert origin.original == pruned.original == replace(JUDGED, share=1.0)
    assert origin.compressed == replace(JUDGED, share=share("small.nir", "test.npz", "reference"))
    compress("model.nir", "unknown.nir", "--data plain.npz --sparsity 0.8")
    origin = compress("unknown.nir", "small2.nir", "--data cal.npz --test test.npz --bits 3")
    assert origin.original is None and origin.compressed is not None  # the pruned network's is not the original's


# ----------------------------------------------------------------------------------------------------- the report


def report(model: str, options: str, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    capsys.readouterr()
    assert main(f"compile {model} --emit verilog --output build --force {options}".split()) == 0
    found: dict[str, Any] = json.loads(Path("build/report.json").read_text())
    return found, " ".join(capsys.readouterr().out.split())


def test_reports_do_not_hide_what_compression_lost(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    origin = compress("model.nir", "small.nir", "--data cal.npz --test test.npz --sparsity 0.8 --bits 3")
    assert origin.compressed is not None
    found, shown = report("small.nir", "--data cal.npz", capsys)
    own = share("small.nir", "cal.npz", "reference")
    by_class = {"confusion", "integer_interval", "per_class"}
    assert {key: found["accuracy"][key] for key in found["accuracy"].keys() - by_class} == {
        "samples": 40,
        "stimulus": "calibration",
        "float": 1.0,
        "float_samples": 60,
        "float_stimulus": "test",
        "compressed": pytest.approx(share("small.nir", "cal.npz", "float"), rel=1e-5),
        "integer": pytest.approx(own, rel=1e-5),
        "readout": "spikes",
        "source": "measured",
    }
    assert found["compression"]["method"] == "magnitude" and found["compression"]["before"] == []
    assert (found["compression"]["sparsity"], found["compression"]["bits"]) == (0.8, 3)
    errors = [found["semantics"][name]["errors"]["weights_relative"] for name in ("hidden", "out")]
    assert errors == pytest.approx([row[0] for row in origin.errors], rel=1e-5) and min(errors) > 0.05
    assert "over 40 calibration samples, float 100.00% of 60 test samples" in shown
    page = Path("page.html")
    assert main(["report", "build", "--html", str(page)]) == 0
    assert "over 40 calibration samples, float 100.00% of 60 test samples" in page.read_text()


def test_without_labels_a_report_says_what_the_network_knows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    origin = compress("model.nir", "small.nir", "--data cal.npz --test test.npz --sparsity 0.8 --bits 3")
    assert origin.compressed is not None
    accuracy = report("small.nir", "", capsys)[0]["accuracy"]
    assert (accuracy["samples"], accuracy["stimulus"], accuracy["float"]) == (60, "test", 1.0)
    assert accuracy["integer"] == accuracy["compressed"] == pytest.approx(origin.compressed.share, rel=1e-5)
    integers = read_nir("small.nir")
    assert known_accuracy(integers.with_readout("first-spike"), True) is None  # another readout, another accuracy
    half = known_accuracy(integers, built_as_it_is=False)
    assert half is not None and half.integer is None and half.real == origin.compressed.share


@pytest.mark.slow
def test_a_pruned_network_that_is_quantised_later_has_both_steps(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compress("model.nir", "pruned.nir", "--data plain.npz --sparsity 0.8")
    found, shown = report("pruned.nir", "--data cal.npz --method magnitude --bits 4", capsys)
    assert (found["compression"]["sparsity"], found["compression"]["bits"]) == (0.0, 4)
    assert [(step["sparsity"], step["bits"]) for step in found["compression"]["before"]] == [(0.8, None)]
    assert found["accuracy"]["float"] is None and found["accuracy"]["float_samples"] is None
    assert found["accuracy"]["compressed"] == pytest.approx(share("pruned.nir", "cal.npz", "float"), rel=1e-5)
    assert "original float not measured" in shown
    built = read_nir("build/network.nir").origin
    assert built is not None and [step.bits for step in built.steps] == [None, 4] and built.compressed is None


def test_a_report_without_the_accuracy_of_what_was_built_is_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compress("model.nir", "pruned.nir", "--data cal.npz --test test.npz --sparsity 0.8")
    accuracy = report("pruned.nir", "--data plain.npz --method magnitude --bits 4", capsys)[0]["accuracy"]
    assert accuracy["integer"] is None and (accuracy["float"], accuracy["float_samples"]) == (1.0, 60)
    assert main(["report", "build", "--html", "page.html"]) == 0 and main(["report", "build"]) == 0
    assert "float 100.00%, over 60 test samples" in " ".join(capsys.readouterr().out.split())


def test_older_reports_are_told_as_they_were() -> None:
    assert accuracy_text({"samples": 3, "float": 1.0, "integer": 0.5}) == "float 100.00%, over 3 labelled samples"
