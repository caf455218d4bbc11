"""Readouts: what each reads off recordings worked out by hand, where it is kept, and who asks it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler import Readout, load_samples, quantise, read_nir, write_nir
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.compression.answers import scores as tensor_scores
from spikeloom.compiler.compression.apply import compress as apply_recipe
from spikeloom.compiler.compression.recipe import Recipe
from spikeloom.compiler.compression.simulation import Response
from spikeloom.compiler.flow.compile import CompileOptions, compile_network
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LI, LIF, IntegerDynamics, ResetMode
from spikeloom.compiler.ir.readout import ReadBy
from spikeloom.compiler.ir.verifier import verify
from spikeloom.compiler.plan.readout import require_answer
from spikeloom.hdl.errors import ModelError, OptionError, SampleError
from spikeloom.hdl.images.coding import Encoder, ImageCoding
from spikeloom.sim import simulate
from spikeloom.sim.evaluation import compare
from spikeloom.sim.image_executor import reference_classes
from spikeloom.sim.readout import scores

# Two samples, four steps, four outputs.
SPIKES = np.array(
    [
        [[0, 0, 0, 1], [1, 0, 0, 0], [1, 0, 1, 0], [1, 0, 1, 0]],
        [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]],
    ],
    np.uint8,
)
MEMBRANES = np.array(
    [
        [[9, 0, -1, 2], [0, 1, 0, 2], [0, 2, 0, 2], [0, 3, 4, 2]],
        [[-5, -5, -5, -1], [-4, -1, -5, -2], [-4, -3, -5, -2], [-4, -4, -1, -3]],
    ],
    np.int32,
)


@pytest.mark.parametrize(
    ("readout", "expected"),
    [
        (Readout(), [[3, 0, 2, 1], [0, 1, 1, 0]]),
        (Readout(classes=2), [[3, 3], [1, 1]]),
        (Readout(by=ReadBy.FIRST_SPIKE), [[3, 0, 2, 4], [0, 2, 1, 0]]),
        (Readout(by=ReadBy.FIRST_SPIKE, classes=2), [[3, 4], [2, 1]]),
        (Readout(by=ReadBy.MEMBRANE_LAST), [[0, 3, 4, 2], [-4, -4, -1, -3]]),
        (Readout(by=ReadBy.MEMBRANE_LAST, classes=2), [[3, 6], [-8, -4]]),
        (Readout(by=ReadBy.MEMBRANE_MAX), [[9, 3, 4, 2], [-4, -1, -1, -1]]),
        (Readout(by=ReadBy.MEMBRANE_MAX, classes=2), [[9, 4], [-1, -1]]),
        (Readout(by=ReadBy.MEMBRANE_SUM), [[9, 6, 3, 8], [-17, -13, -16, -8]]),
        (Readout(by=ReadBy.MEMBRANE_SUM, classes=2), [[15, 11], [-30, -24]]),
        (Readout(by=ReadBy.MEMBRANES), [[0, 3, 4, 2], [-4, -4, -1, -3]]),
        (Readout(by=ReadBy.MEMBRANES, classes=2), [[3, 6], [-8, -4]]),
    ],
)
def test_what_each_readout_says(readout: Readout, expected: list[list[int]]) -> None:
    assert scores(readout, SPIKES, MEMBRANES).tolist() == expected


@pytest.mark.parametrize(("threshold", "classes"), [(1, [1, 1, 0]), (2, [1, 1, 0]), (3, [1, 0, 0]), (4, [0, 0, 0])])
def test_one_output_says_class_1_from_the_threshold_on(threshold: int, classes: list[int]) -> None:
    spikes = np.array([[1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]], np.uint8)[:, :, None]
    said = scores(Readout(threshold=threshold), spikes, None)
    assert np.argmax(said, axis=1).tolist() == classes


def test_units_that_differ_are_made_equal() -> None:
    said = scores(Readout(by=ReadBy.MEMBRANE_LAST), SPIKES, MEMBRANES, np.array([1.0, 0.5, 0.25, 2.0]))
    assert said.tolist() == [[0.0, 1.5, 1.0, 4.0], [-4.0, -2.0, -0.25, -6.0]]


@pytest.mark.parametrize("by", list(ReadBy))
@pytest.mark.parametrize("classes", [None, 2])
def test_training_sees_what_is_judged(by: ReadBy, classes: int | None) -> None:
    """The loss' scores are the readout's, but for the mean in place of the sum of membranes."""
    torch = pytest.importorskip("torch")
    spikes, membranes = (torch.as_tensor(array.transpose(1, 0, 2).astype(np.float32)) for array in (SPIKES, MEMBRANES))
    readout = Readout(by=by, classes=classes)
    said = tensor_scores(Response(spikes, membranes), readout).numpy()
    steps = SPIKES.shape[1] if by is ReadBy.MEMBRANE_SUM else 1
    assert np.array_equal(said * steps, scores(readout, SPIKES, MEMBRANES))


def test_training_on_one_output_tells_it_from_silence() -> None:
    torch = pytest.importorskip("torch")
    spikes = torch.ones(4, 2, 1)
    assert tensor_scores(Response(spikes, spikes), Readout()).tolist() == [[0.0, 4.0], [0.0, 4.0]]
    assert tensor_scores(Response(spikes, spikes), Readout(threshold=3)).tolist() == [[2.5, 4.0], [2.5, 4.0]]


# ----------------------------------------------------------------------------------------------------- networks


def network(outputs: int = 4, *, fires: bool = True, weights: Any = None) -> Network:
    dynamics = LIF(beta=0.5, threshold=1.0) if fires else LI(beta=0.5)
    matrix = np.eye(outputs) * 1.5 if weights is None else weights
    return Network(
        input_shape=(len(matrix),),
        populations=(Population(name="out", shape=(outputs,), dynamics=dynamics),),
        projections=(Projection(pre=INPUT, post="out", connectivity=Dense(weights=matrix)),),
        output="out",
    )


def test_the_default_is_spikes_and_of_an_integrator_the_sum_of_membranes() -> None:
    assert network().reading == Readout(by=ReadBy.SPIKES) and str(network().reading) == "spikes"
    assert network(fires=False).reading == Readout(by=ReadBy.MEMBRANE_SUM)
    assert quantise(network(fires=False), 4).reading == Readout(by=ReadBy.MEMBRANE_SUM)
    assert network().class_count == 4 and network().with_readout(classes=2).class_count == 2
    assert network(1).with_readout(threshold=5).class_count == 2
    assert network().with_readout("spikes").readout is None  # the default is not written down
    assert network(fires=False).with_readout("membrane-sum").readout is not None  # hardware takes another
    assert str(network().with_readout("first-spike", classes=2).reading) == "first-spike of 2 classes"
    assert str(network(1).with_readout(threshold=5).reading) == "5 spikes and more"


@pytest.mark.parametrize(
    ("fires", "outputs", "options", "message"),
    [
        (True, 4, {"by": "loudest"}, "a class is read by one of spikes, first-spike, membrane-last, membrane-max, "
         "membrane-sum, membranes: got 'loudest'"),
        (True, 4, {"classes": 3}, "classes are groups of equal size, 2 of them at least: got 3 of 4 outputs; "
         "change --classes"),
        (True, 4, {"classes": 1}, "classes are groups of equal size, 2 of them at least: got 1 of 4 outputs; "
         "change --classes"),
        (True, 4, {"threshold": 2}, "a threshold reads one output neuron: this network has 4; "
         "change --readout-threshold"),
        (True, 1, {"threshold": 0}, "a readout's threshold is a whole number of spikes, 1 or more: got 0; "
         "change --readout-threshold"),
        (True, 1, {"threshold": 2, "by": "first-spike"}, "a threshold counts spikes: the class is read by first-spike; "
         "change --readout or --readout-threshold"),
        (False, 4, {"by": "spikes"}, "an output that never fires is read by its membranes: got spikes; "
         "change --readout"),
        (False, 1, {"threshold": 2}, "a threshold counts spikes: the class is read by membrane-sum; "
         "change --readout-threshold"),
    ],
)  # fmt: skip
def test_readouts_that_the_output_does_not_have_are_asked_for(
    fires: bool, outputs: int, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError) as caught:
        network(outputs, fires=fires).with_readout(**options)
    assert str(caught.value) == message


def test_the_verifier_knows_the_rule() -> None:
    with pytest.raises(ModelError, match=r"classes are groups of equal size.* got 3 of 4 outputs; the output is 'out'"):
        verify(replace(network(), readout=Readout(classes=3)))


@pytest.mark.parametrize("integer", [False, True])
def test_a_file_keeps_the_readout(tmp_path: Path, integer: bool) -> None:
    chosen = network().with_readout("membrane-max", classes=2)
    write_nir(quantise(chosen, 4) if integer else chosen, tmp_path / "n.nir")
    assert read_nir(tmp_path / "n.nir").reading == Readout(by=ReadBy.MEMBRANE_MAX, classes=2)
    write_nir(network(1).with_readout(threshold=7), tmp_path / "one.nir")
    assert read_nir(tmp_path / "one.nir").reading == Readout(threshold=7)


def test_a_default_readout_writes_nothing(tmp_path: Path) -> None:
    write_nir(network(), tmp_path / "a.nir")
    write_nir(network().with_readout("spikes"), tmp_path / "b.nir")
    assert (tmp_path / "a.nir").read_bytes() == (tmp_path / "b.nir").read_bytes()
    assert b"readout" not in (tmp_path / "a.nir").read_bytes()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "by",
            "loudest",
            "is one of spikes, first-spike, membrane-last, membrane-max, membrane-sum, membranes, got 'loudest'",
        ),
        ("classes", np.int64(3), "classes are groups of equal size, 2 of them at least: got 3 of 4 outputs"),
        ("classes", np.int64(2**40), "classes are groups of equal size, 2 of them at least: got 1099511627776 of 4"),
        ("classes", np.array([2, 2]), "is one integer"),
        ("threshold", np.float64(2), "is an integer, got 'float64'"),
        ("colour", np.int64(1), "is not part of the schema"),
    ],
)
def test_hostile_readouts_are_refused(tmp_path: Path, field: str, value: Any, message: str) -> None:
    import h5py

    path = tmp_path / "n.nir"
    write_nir(network().with_readout("first-spike", classes=2), path)
    with h5py.File(path, "r+") as file:
        group = next(file[name] for name in _groups(file) if name.endswith("readout"))
        if field in group:
            del group[field]
        group[field] = value
    with pytest.raises(ModelError, match=message.replace("(", r"\(")) as caught:
        read_nir(path)
    assert "\n" not in str(caught.value)


def _groups(file: Any) -> list[str]:
    names: list[str] = []
    file.visit(names.append)
    return names


@pytest.mark.parametrize("by", ["membrane-last", "membrane-max", "membrane-sum", "membranes"])
def test_executors_record_what_is_read(by: str) -> None:
    """Without being asked for membranes, the float network and its integers at once; nobody else's are kept."""
    spikes = (np.random.default_rng(3).random((5, 6, 4)) < 0.5).astype(np.uint8)
    for fires in (True, False):
        read = network(fires=fires).with_readout(by)
        for net, executor in ((read, "float"), (quantise(read, 6, spikes), "reference")):
            recording, full = (
                simulate(net, spikes, executor=executor),
                simulate(net, spikes, executor=executor, membranes=True),
            )
            assert np.array_equal(recording.membranes, full.membranes)
            assert np.array_equal(recording.predicted, full.predicted)
    recording = simulate(quantise(network().with_readout(by), 6, spikes), spikes, executor="amaranth")
    assert recording.membranes is not None
    assert simulate(network(), spikes).membranes is None


def never_reset(weights: Any) -> Network:
    """snnTorch's regression head: it fires, and nothing comes of it."""
    read = network(weights=weights)
    dynamics = replace(read.populations[0].dynamics, reset_mode=ResetMode.NONE)
    return replace(read, populations=(replace(read.populations[0], dynamics=dynamics),))


def test_membranes_that_are_read_have_one_unit() -> None:
    """Weights whose columns differ by a factor of 100: a scale for each, until membranes are read."""
    weights = np.random.default_rng(5).normal(size=(6, 4)) * [0.01, 0.1, 0.5, 1.0]
    spikes = (np.random.default_rng(3).random((5, 8, 6)) < 0.5).astype(np.uint8)
    head = never_reset(weights)
    for calibration in (None, spikes):
        by_spikes = quantise(head, 6, calibration).populations[0].dynamics
        assert isinstance(by_spikes, IntegerDynamics) and np.ptp(by_spikes.scale) > 0
        read = quantise(head.with_readout("membrane-max"), 6, calibration)
        dynamics = read.populations[0].dynamics
        assert isinstance(dynamics, IntegerDynamics) and np.ptp(dynamics.scale) == 0
        assert not read.populations[0].resets and read.reads_membranes_of("out")
        unit = dynamics.scale.flat[0] / (1 << dynamics.fraction_bits)
        real, integer = (simulate(n, spikes, executor=e).membranes for n, e in ((head.with_readout("membrane-max"),
            "float"), (read, "reference")))  # fmt: skip
        assert real is not None and integer is not None and np.abs(integer * unit - real).max() < 0.15


@pytest.mark.parametrize("method", ["magnitude", "obc", "osbc"])
def test_compression_keeps_one_unit(method: str) -> None:
    pytest.importorskip("torch")
    weights = np.random.default_rng(5).normal(size=(6, 4)) * [0.1, 0.2, 0.5, 1.0]
    spikes = (np.random.default_rng(3).random((5, 8, 6)) < 0.5).astype(np.uint8)
    read = never_reset(weights).with_readout("membranes")
    small, _ = apply_recipe(read, Recipe(method=method, sparsity=0.2, bits=4), spikes)
    dynamics = small.populations[0].dynamics
    assert isinstance(dynamics, IntegerDynamics) and np.ptp(dynamics.scale) == 0 and small.reading == read.reading


@pytest.mark.parametrize(
    ("changes", "resets"), [({}, True), ({"reset_mode": "none"}, False), ({"reset_mode": "value"}, True)]
)
def test_whether_an_output_resets_is_known_at_both_levels(changes: dict[str, Any], resets: bool) -> None:
    read = network()
    chosen = {name: ResetMode(mode) for name, mode in changes.items()}
    dynamics = replace(read.populations[0].dynamics, **chosen)
    read = replace(read, populations=(replace(read.populations[0], dynamics=dynamics),))
    assert read.populations[0].resets is quantise(read, 6).populations[0].resets is resets
    assert not network(fires=False).populations[0].resets


def test_hardware_has_spikes_to_read_and_membranes_of_what_never_resets() -> None:
    require_answer(network().with_readout("first-spike"))
    require_answer(network(fires=False))
    require_answer(never_reset(np.eye(4)).with_readout("membranes"))
    with pytest.raises(ModelError, match="never resets: population 'out' resets by subtraction and is read by"):
        require_answer(network().with_readout("membrane-last"))


def test_a_decoder_on_the_device_answers_the_output_that_spikes_most(tmp_path: Path) -> None:
    coding = ImageCoding(encoder=Encoder.RATE, steps=6)
    grouped = network().with_readout(classes=2)
    with pytest.raises(OptionError, match="the class is read by spikes of 2 classes; take --decoder counts"):
        compile_network(grouped, tmp_path / "b", CompileOptions(board="icebreaker", coding=coding))
    images = np.random.default_rng(4).integers(0, 256, (20, 4))
    integers = quantise(network(), 6)
    answers = reference_classes(integers.with_readout(classes=2), images, coding)
    assert np.array_equal(answers, reference_classes(integers, images, coding)) and answers.max() > 1


# ------------------------------------------------------------------------------------------------------- labels


def labelled(folder: Path, labels: Any, outputs: int = 4) -> Path:
    path = folder / "s.npz"
    np.savez(path, spikes=np.zeros((len(labels), 2, outputs), np.uint8), labels=labels)
    return path


def test_labels_that_leave_half_the_classes_out_are_questioned(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    load_samples(labelled(tmp_path, [0, 1] * 5), network())
    assert str(recwarn.pop(UserWarning).message) == (
        "labels and outputs should fit: the 10 labels are 0..1, and the output of 'network' tells 4 classes apart; "
        "if the outputs are a population code of 2 classes, say --classes 2"
    )
    load_samples(labelled(tmp_path, [0] * 10, 1), network(1))
    assert "tells 1 class apart; one output neuron tells two classes apart by --readout-threshold" in str(
        recwarn.pop(UserWarning).message
    )
    load_samples(labelled(tmp_path, [0] * 10), network())
    assert str(recwarn.pop(UserWarning).message).endswith("tells 4 classes apart; check them")
    recwarn.clear()
    load_samples(labelled(tmp_path, [0, 1] * 5), network().with_readout(classes=2))
    load_samples(labelled(tmp_path, [0, 2] * 5), network())
    load_samples(labelled(tmp_path, [0, 1] * 2), network())  # too few to tell
    load_samples(labelled(tmp_path, [0, 1] * 5, 1), network(1).with_readout(threshold=1))
    assert not recwarn.list


def test_labels_beyond_the_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match=r"0\.\.1, the network's classes: sample 1 has 2"):
        load_samples(labelled(tmp_path, [0, 2]), network().with_readout(classes=2))
    with pytest.raises(SampleError, match=r"0\.\.0, .* sample 1 has 1; one output neuron is read by --readout-thresh"):
        load_samples(labelled(tmp_path, [0, 1], 1), network(1))


# ----------------------------------------------------------------------------------------------- from the outside


def summary(capsys: pytest.CaptureFixture[str], command: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*command.split(), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_an_integrator_is_judged_by_its_membranes(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The labels are the classes of its own mean membranes: it has all of them right, and pruned to nothing half."""
    monkeypatch.chdir(tmp_path)
    faults = shared / "faults"
    model, test = f"{faults}/li_readout.nir --dialect nir --dt 1e-4", f"{faults}/li_readout_test.npz"
    compress = f"compress {model} --data {faults}/li_readout_calibration.npz --test {test} --method magnitude"
    found = summary(capsys, f"simulate {model} --data {test} --executor float")
    assert found["accuracy"] == 1.0 and found["readout"] == "membrane-sum"
    lost = summary(capsys, f"{compress} --sparsity 0.97 --bits 4 --output small.nir")["accuracy"]
    assert (lost["original"], lost["compressed"], lost["change"]) == (1.0, 0.5, -0.5)
    assert lost["readout"] == "membrane-sum"
    kept = summary(capsys, f"{compress} --bits 8 --output same.nir")["accuracy"]["compressed"]
    assert kept >= 0.95
    assert summary(capsys, f"simulate same.nir --data {test}")["accuracy"] == kept


def test_a_population_code_is_read_in_groups(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model, data = shared / "faults/population_code.nir", shared / "faults/population_code.npz"
    command = f"simulate {model} --data {data} --executor float"
    assert main(command.split()) == 0
    shown = capsys.readouterr()
    assert "accuracy: 26.67% of 60 labelled samples, by spikes" in shown.out
    assert "the 60 labels are 0..3" in shown.err and "say --classes 4" in shown.err
    assert main([*command.split(), "--classes", "4"]) == 0
    shown = capsys.readouterr()
    assert "accuracy: 100.00% of 60 labelled samples, by spikes of 4 classes" in shown.out
    assert "warning" not in shown.err
    assert main([*command.split(), "--classes", "5"]) == 2
    assert "got 5 of 12 outputs; change --classes" in capsys.readouterr().err
    read = read_nir(model).with_readout(classes=4)
    assert compare(read, quantise(read, 8), load_samples(data, read)).original == 1.0
    summary(capsys, f"compress {model} --data {data} --bits 8 --method magnitude --classes 4 --output small.nir")
    assert read_nir("small.nir").reading == Readout(classes=4)
    assert summary(capsys, f"simulate small.nir --data {data}")["readout"] == "spikes of 4 classes"


def test_a_build_folder_and_its_report_keep_the_readout(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model, data = shared / "faults/population_code.nir", shared / "faults/population_code.npz"
    command = f"compile {model} --emit verilog --data {data} --classes 4 --method magnitude --output b"
    assert main(command.split()) == 0
    shown = " ".join(capsys.readouterr().out.split())
    report = json.loads(Path("b/report.json").read_text())
    assert report["network"]["readout"] == report["accuracy"]["readout"] == "spikes of 4 classes"
    assert report["accuracy"]["float"] == 1.0 and "by spikes of 4 classes" in shown
    for executor in ("float", "reference"):
        assert summary(capsys, f"simulate b --data {data} --executor {executor}")["accuracy"] == 1.0
