"""The command line of devices that take images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler import write_nir
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.data.images import encode
from spikeloom.compiler.data.samples import Samples, load_samples
from spikeloom.compiler.flow.compile import CompileOptions, compile_network
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.compiler.output.build_folder import load_build_folder
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.errors import InputError, OptionError, SampleError
from spikeloom.hdl.images.coding import Decoder, Encoder, ImageCoding
from spikeloom.sim.image_executor import reference_classes, run_images
from test_cli import INPUTS, OUTPUTS, small_network

CODING = ImageCoding(encoder=Encoder.RATE, steps=4)


def small_images(count: int = 5) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    return {"images": rng.integers(0, 256, (count, INPUTS)), "labels": rng.integers(0, OUTPUTS, count)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.nir"
    write_nir(small_network(), path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    path = tmp_path / "images.npz"
    np.savez(path, **small_images())
    return path


# -------------------------------------------------------------------------------------------------- samples


def test_images_are_encoded_as_they_are_read(images: Path) -> None:
    samples = load_samples(images, small_network(), coding=CODING)
    assert samples.images is not None
    assert np.array_equal(samples.images, small_images()["images"])
    assert np.array_equal(samples.spikes, encode(small_images()["images"], CODING))
    assert samples.first(2).images is not None and len(samples.first(2).images) == 2


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"spikes": np.zeros((2, 3, INPUTS), np.uint8)}, "need the key 'images'"),
        ({"images": np.zeros((2, INPUTS + 1), np.uint8)}, "'images' must have the network's inputs"),
        ({"images": np.zeros(INPUTS, np.uint8)}, "'images' must be"),
        ({"images": np.zeros((0, INPUTS), np.uint8)}, "at least one of each"),
        ({"images": np.full((2, INPUTS), 256)}, "'images' must be 0..255 pixels: a value is 256"),
        ({"images": np.full((2, INPUTS), -1)}, "a value is -1"),
        ({"images": np.full((2, INPUTS), 0.5)}, "'images' must be integers or bool: it is float64"),
        ({"images": np.zeros((2, INPUTS), np.uint8), "labels": np.zeros(3, np.int64)}, "'labels' must be one class"),
    ],
)
def test_what_are_no_images_is_refused(tmp_path: Path, arrays: dict[str, Any], problem: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(SampleError, match=problem):
        load_samples(tmp_path / "bad.npz", small_network(), coding=CODING)


def test_black_and_white_images_are_0_and_255(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    white = np.random.default_rng(4).integers(0, 2, (6, INPUTS)).astype(np.bool_)
    np.savez(tmp_path / "bool.npz", images=white)
    samples = load_samples(tmp_path / "bool.npz", small_network(), coding=CODING)
    assert samples.images is not None and samples.images.dtype == np.uint8
    assert np.array_equal(samples.images, np.where(white, 255, 0))
    assert np.array_equal(samples.spikes, encode(np.where(white, 255, 0), CODING))
    assert np.array_equal(samples.spikes, encode(white, CODING)) and samples.spikes.any()
    assert not recwarn.list
    np.savez(tmp_path / "ones.npz", images=white.astype(np.uint8))
    assert load_samples(tmp_path / "ones.npz", small_network(), coding=CODING).images is not None
    assert str(recwarn.pop(UserWarning).message) == (
        "pixels should go up to 255, white: the largest is 1, all but black; if 1 means white, save the images as bool "
        "or times 255"
    )


def test_the_shared_bool_images_spike(shared: Path) -> None:
    samples = load_samples(shared / "faults/bool_images.npz", coding=ImageCoding(encoder=Encoder.RATE, steps=16))
    assert samples.images is not None and set(np.unique(samples.images)) == {0, 255}
    assert samples.spikes.any() and not samples.spikes[np.repeat(samples.images[:, None] == 0, 16, axis=1)].any()


def test_simulated_hardware_takes_black_and_white_images() -> None:
    white = np.random.default_rng(4).integers(0, 2, (2, INPUTS)).astype(np.bool_)
    integers = quantise(small_network(), 4)
    got = run_images(make_plan(integers), white, CODING)
    assert np.array_equal(got.classes, reference_classes(integers, np.where(white, 255, 0), CODING))


def test_pictures_are_flattened_for_flat_inputs(tmp_path: Path) -> None:
    pictures = np.random.default_rng(5).integers(0, 256, (3, 2, INPUTS // 2), np.uint8)
    np.savez(tmp_path / "pictures.npz", images=pictures)
    samples = load_samples(tmp_path / "pictures.npz", small_network(), coding=CODING)
    assert samples.images is not None and np.array_equal(samples.images, pictures.reshape(3, INPUTS))
    turned = replace(small_network(), input_shape=(INPUTS // 2, 2))
    with pytest.raises(SampleError, match=r"'images' must have the network's inputs, \d x 2"):
        load_samples(tmp_path / "pictures.npz", turned, coding=CODING)


def test_spikes_of_too_many_images_are_refused(images: Path) -> None:
    with pytest.raises(SampleError, match="over 255 steps need 10200; use fewer samples"):
        load_samples(images, coding=ImageCoding(encoder=Encoder.RATE, steps=255), max_bytes=2000)


# -------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["--encoder", "rate"], "choose --steps N"),
        (["--steps", "5"], "--steps is for a device that takes images"),
        (["--decoder", "argmax"], "--decoder is for a device that takes images"),
        (["--encoder", "rate", "--steps", "256"], "must be 1 to 255: 256"),
        (["--encoder", "phase", "--steps", "5"], "invalid choice: 'phase'"),
        (["--encoder", "rate", "--steps", "5", "--emit", "verilog"], "leave out --encoder"),
        (
            ["--encoder", "rate", "--steps", "5", "--readout", "counts", "--decoder", "argmax"],
            "one way: --readout counts and --decoder argmax are given; leave one out",
        ),
        (["--emit", "verilog", "--link", "spi"], "--link spi is for a bitstream: bare Verilog has no host link"),
        (["--emit", "verilog", "--baud", "9600"], "--baud is for a bitstream: bare Verilog has no host link"),
        (["--emit", "verilog", "--no-packed"], "--packed or --no-packed is for a bitstream"),
        (["--emit", "verilog", "--seeds", "3"], "--seeds is for a bitstream: bare Verilog has no placement"),
    ],
)
def test_bad_options_are_one_line(
    model: Path, argv: list[str], problem: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as stopped:
        raise SystemExit(
            main(["compile", str(model), "--board", "icestick", "--fire", "gt", "--output", str(tmp_path / "o"), *argv])
        )
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert problem in error and error.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_a_coding_and_samples_must_suit_the_network(tmp_path: Path) -> None:
    network = small_network()
    with pytest.raises(OptionError, match="the network's x_max, 1: got 3"):
        coding = ImageCoding(encoder=Encoder.DIRECT, steps=2, x_max=3)
        compile_network(network, tmp_path / "o", CompileOptions(board="icestick", coding=coding))
    spikes = Samples(spikes=np.zeros((1, 4, INPUTS), np.uint8))
    with pytest.raises(SampleError, match="measured on images"):
        compile_network(network, tmp_path / "o", CompileOptions(board="icestick", coding=CODING), samples=spikes)


# ------------------------------------------------------------------------------------- the whole way, real tools


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_nir(small_network(), folder / "small.nir")
    np.savez(folder / "images.npz", **small_images())
    argv = ["compile", folder / "small.nir", "--board", "icestick", "--method", "magnitude", "--fire", "gt"]
    argv += [
        "--clock-mhz",
        "board",
        "--encoder",
        "latency",
        "--steps",
        "4",
        "--data",
        folder / "images.npz",
        "--output",
        folder / "build",
    ]
    assert main([str(word) for word in argv]) == 0
    return folder


def test_the_build_knows_its_coding(built: Path) -> None:
    build = load_build_folder(built / "build")
    assert build.coding == ImageCoding(encoder=Encoder.LATENCY, steps=4, decoder=Decoder.ARGMAX)
    link = build.report()["link"]
    assert (link["encoder"], link["decoder"]) == ("latency", "argmax")
    assert link["encoder_cycles_per_sample"] >= 4 * (INPUTS + 3)


def test_regressions_classify_images(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["regress", str(built / "build"), "--data", str(built / "images.npz"), "--limit", "3"]
    assert main(argv) == 0
    assert "equal: the class of 3 images" in capsys.readouterr().out
    assert main([*argv, "--level", "pins"]) == 0
    assert "equal: the class of 3 samples at the pins" in capsys.readouterr().out
    assert main([*argv, "--level", "pins", "--waves", "w.fst"]) == 2


def test_images_are_simulated(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(built / "build"), "--data", str(built / "images.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 4


@pytest.mark.parametrize("coding", [{"encoder": "rate"}, {"encoder": "no", "steps": 1}, 5, {"steps": "x"}])
def test_a_damaged_coding_is_refused(built: Path, coding: object) -> None:
    build = load_build_folder(built / "build")
    build.manifest["options"]["coding"] = coding
    with pytest.raises(InputError):
        _ = build.coding
