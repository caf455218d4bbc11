"""What training is given: samples that vary from epoch to epoch, and teachers."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.compression import Arrays, FineTune, Images, Recipe, Recordings
from spikeloom.compiler.compression.finetune import BOLD, CAREFUL, MANY_EPOCHS
from spikeloom.compiler.compression.one_shot import compress_weights
from spikeloom.compiler.data.events import Events, Sensor, frames
from spikeloom.compiler.data.images import encode
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LIF
from spikeloom.hdl.errors import ModelError, OptionError, SampleError
from spikeloom.hdl.images.coding import Encoder, ImageCoding
from spikeloom.sim.float_executor import run_float

pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (2, 6, 6)
STEPS = 8
NUMBERS = np.arange(5)


def network(hidden: int = 16, seed: int = 3) -> Network:
    """72-hidden-4, inputs of two channels of 6 x 6."""
    rng = np.random.default_rng(seed)
    neurons = LIF(beta=0.7, threshold=1.0)
    sizes = {(INPUT, "hidden"): (72, hidden), ("hidden", "out"): (hidden, 4)}
    return Network(
        input_shape=SHAPE,
        populations=(
            Population(name="hidden", shape=(hidden,), dynamics=neurons, bias=np.zeros(hidden)),
            Population(name="out", shape=(4,), dynamics=neurons, bias=np.zeros(4)),
        ),
        projections=tuple(
            Projection(pre=pre, post=post, connectivity=Dense(weights=rng.normal(0.03, 0.35, shape)))
            for (pre, post), shape in sizes.items()
        ),
        output="out",
    )


def spikes(count: int = 40, seed: int = 4) -> np.ndarray:
    return (np.random.default_rng(seed).random((count, STEPS, 72)) < 0.15).astype(np.uint8)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def tuned(training: FineTune, net: Network | None = None, **options: Any) -> Network:
    recipe = Recipe(**{"method": "magnitude", "sparsity": 0.3, "bits": None, **options})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compress_weights(net or network(), recipe, spikes(), finetune=training)


def counts(net: Network, x: np.ndarray) -> np.ndarray:
    return run_float(net, x).populations["out"].spikes.sum(axis=1, dtype=np.int64)


# --------------------------------------------------------------------------------------------------------- samples


def test_images_are_warped_before_they_are_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels that a warp makes of one pixel spike for themselves."""
    pixels = rng(1).integers(0, 256, (30, 72)).astype(np.uint8)
    images = Images(pixels=pixels, coding=ImageCoding(encoder=Encoder.RATE, steps=STEPS), labels=np.arange(30) % 4)
    seen = []
    encoded = Images.encoded
    monkeypatch.setattr(Images, "encoded", lambda self, p, r: seen.append(p) or encoded(self, p, r))
    for warp in (False, True):
        seen.clear()
        tuned(FineTune(material=images, epochs=1, warp=warp))
        same = [any(np.array_equal(image, own) for own in pixels) for image in np.concatenate(seen[1:])]
        assert all(same) if not warp else not all(same) and seen[-1].shape == (30, 72)


def test_rates_are_drawn_afresh_and_repeat_with_their_generator() -> None:
    pixels = np.tile(np.array([[0, 64, 128, 255]], np.uint8), (200, 1))
    images = Images(pixels=pixels, coding=ImageCoding(encoder=Encoder.RATE, steps=20), labels=np.zeros(200, np.int64))
    source = rng()
    first, second = images.take(np.arange(200), source), images.take(np.arange(200), source)
    assert images.fresh and not images.augmented and first.shape == (200, 20, 4) and first.dtype == np.uint8
    assert not np.array_equal(first, second)
    assert np.array_equal(first, images.take(np.arange(200), rng()))
    np.testing.assert_allclose(first.mean(axis=(0, 1)), np.array([0, 64, 128, 255]) / 256, atol=0.03)


def test_other_codes_are_those_of_the_device() -> None:
    pixels = rng().integers(256, size=(5, 9), dtype=np.uint8)
    coding = ImageCoding(encoder=Encoder.LATENCY, steps=10)
    images = Images(pixels=pixels, coding=coding)
    assert not images.fresh and np.array_equal(images.take(np.array([3, 1]), rng()), encode(pixels[[3, 1]], coding))


def test_recordings_that_may_not_vary_are_their_frames() -> None:
    x = spikes(5) * 2
    still = Recordings.of_frames(x, SHAPE, shift=0, rotation=0, drop=0, jitter=0)
    assert not still.fresh and np.array_equal(still.take(NUMBERS, rng()), x)


def test_recordings_are_moved_thinned_and_jittered_each_by_its_own_measure() -> None:
    still = {"shift": 0.0, "rotation": 0.0, "drop": 0.0, "jitter": 0.0}
    middle = np.zeros((5, STEPS, *SHAPE), np.uint8)
    middle[:, 3, 0, 2:4, 1:4] = 1
    flat = middle.reshape(5, STEPS, -1)

    def varied(**options: float) -> np.ndarray:
        material = Recordings.of_frames(flat, SHAPE, **{**still, **options})
        assert material.fresh and material.augmented
        return material.take(NUMBERS, rng(1)).reshape(middle.shape)

    moved, turned, late, fewer = varied(shift=0.3), varied(rotation=90.0), varied(jitter=1.0), varied(drop=0.5)
    assert moved.sum() == middle.sum() and not np.array_equal(moved, middle)
    for before, after in zip(middle[:, 3, 0], moved[:, 3, 0], strict=True):  # all of a recording go the same way
        rows, columns = (np.argwhere(image).min(axis=0) for image in (before, after))
        assert np.array_equal(np.roll(before, tuple(columns - rows), axis=(0, 1)), after)
    assert (turned.sum(axis=(1, 2, 3, 4)) <= 6).all() and not np.array_equal(turned, middle)
    assert (
        np.array_equal(late.sum(axis=1).clip(max=1), middle.sum(axis=1))
        and (late.sum(axis=(2, 3, 4)) > 0)[:, 2:5].any()
    )
    assert not np.array_equal(late, middle) and 0 < fewer.sum() < middle.sum() and (fewer <= middle).all()
    assert np.array_equal(varied(jitter=1.0), late)


def test_recordings_keep_to_crop_and_sensor() -> None:
    events = Events.of(np.arange(400) * 10, np.arange(400) % 8, np.arange(400) % 10, np.zeros(400, np.int64))
    sensor = Sensor(channels=1, rows=10, columns=8, crop=(1, 0, 8, 8), downsample=2)
    material = Recordings(events=[events], sensor=sensor, step_us=500, steps=4, rotation=0, shift=0, drop=0, jitter=0)
    expected = frames(events, sensor, step_us=500, steps=4)
    assert np.array_equal(material.take(np.array([0]), rng())[0], expected.reshape(4, -1))
    wild = replace(material, rotation=180.0, shift=1.0, jitter=5.0)
    assert wild.take(np.zeros(20, np.int64), rng()).shape == (20, 4, 16)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Arrays(spikes=spikes(3), labels=np.zeros(2, np.int64)), "3 samples and 2 labels"),
        (lambda: Recordings.of_frames(spikes(2), SHAPE, drop=1.5), "drop of recordings is 0 to 1"),
        (lambda: Recordings.of_frames(spikes(2), SHAPE, jitter=float("nan")), "jitter of recordings"),
        (lambda: FineTune(spikes=spikes(2), material=Arrays(spikes=spikes(2))), "given once"),
    ],
)
def test_bad_material_is_refused(make: Any, message: str) -> None:
    with pytest.raises((OptionError, SampleError), match=message):
        make()


@pytest.mark.parametrize("fixed", [True, False])
def test_networks_learn_from_material(fixed: bool) -> None:
    """Of each class another quarter of the inputs fires; from arrays, and from recordings that vary little."""
    labels = np.arange(80) % 4
    likely = 0.05 + 0.3 * (np.arange(72) // 18 == labels[:, None, None])
    x = (rng(8).random((80, STEPS, 72)) < likely).astype(np.uint8)
    material: Any = Arrays(spikes=x, labels=labels)
    if not fixed:
        material = Recordings.of_frames(x, SHAPE, labels, drop=0.05, rotation=0, shift=0, jitter=0.3)
    training = FineTune(material=material, epochs=12, batch_size=16, labels_weight=1.0, learning_rate=0.03, warp=False)
    before = np.mean(counts(network(), x).argmax(axis=1) == labels)
    after = np.mean(counts(tuned(training), x).argmax(axis=1) == labels)
    assert before < 0.5 < 0.7 < after


def test_samples_that_do_not_suit_are_refused_before_training() -> None:
    pixels = np.zeros((4, 9), np.uint8)
    images = Images(pixels=pixels, coding=ImageCoding(encoder=Encoder.RATE, steps=5), labels=np.zeros(4, np.int64))
    with pytest.raises(SampleError, match="72 inputs"):
        tuned(FineTune(material=images))
    with pytest.raises(SampleError, match="labels are 0 to 3"):
        tuned(FineTune(material=Arrays(spikes=spikes(4), labels=np.full(4, 9))))


# --------------------------------------------------------------------------------------------------------- teachers


def test_the_original_teaches_unless_told() -> None:
    training = FineTune(spikes=spikes(30, 6), epochs=2, batch_size=10, seed=1)
    one, other = tuned(training), tuned(replace(training, teacher=network()))
    for a, b in zip(one.projections, other.projections, strict=True):
        np.testing.assert_allclose(a.weights, b.weights)


def test_a_wider_teacher_is_learnt_from() -> None:
    """A network of more neurons, which always answers the last class, in place of the original, which never does."""
    wide = network(hidden=24)
    hidden, out = wide.populations
    teacher = replace(wide, populations=(hidden, replace(out, bias=np.array([-2.0, -2.0, -2.0, 2.0]))))
    training = FineTune(spikes=spikes(60, 6), epochs=8, batch_size=20, learning_rate=0.03, temperature=1.0, blend=0.0)

    def answers_the_last(net: Network) -> float:
        return float(np.mean(counts(net, spikes(60, 21)).argmax(axis=1) == 3))

    assert answers_the_last(tuned(training)) < 0.5 < 0.9 < answers_the_last(tuned(replace(training, teacher=teacher)))


def test_a_teacher_of_other_inputs_or_classes_is_refused() -> None:
    other = network()
    flat = replace(other, populations=(other.populations[0],), projections=other.projections[:1], output="hidden")
    with pytest.raises(ModelError, match=r"a teacher has the network's inputs and classes: .* 16 classes"):
        tuned(FineTune(spikes=spikes(10), teacher=flat))


def test_what_is_not_said_follows_the_epochs_and_the_weights_that_stay() -> None:
    few, many = FineTune(epochs=5), FineTune(epochs=MANY_EPOCHS)
    assert [few.settled(share).warp for share in (0.1, 0.5)] == [False, True]
    assert few.settled(0.1).learning_rate == CAREFUL
    assert many.settled(0.1).warp and many.settled(0.1).learning_rate == BOLD
    varied = Recordings.of_frames(spikes(2), SHAPE)
    assert not replace(many, material=varied).settled(0.1).warp
    told = replace(many, warp=False, learning_rate=1e-3).settled(0.9)
    assert not told.warp and told.learning_rate == 1e-3


# ---------------------------------------------------------------------------------------------------------- command


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    write_nir(network(), folder / "net.nir")
    write_nir(network(hidden=20, seed=7), folder / "teacher.nir")
    labels = np.arange(40) % 4
    np.savez_compressed(folder / "cal.npz", spikes=spikes().reshape(40, STEPS, *SHAPE))
    np.savez_compressed(folder / "train.npz", spikes=spikes(40, 5).reshape(40, STEPS, *SHAPE), labels=labels)
    images = rng(5).integers(256, size=(40, *SHAPE), dtype=np.uint8)
    np.savez_compressed(folder / "images.npz", images=images, labels=labels)
    return folder


def run(folder: Path, *options: str) -> int:
    command = ["compress", str(folder / "net.nir"), "--data", str(folder / "cal.npz"), "--sparsity", "0.5", "--force"]
    command += ["--method", "magnitude", "--epochs", "1", "--output", str(folder / "small.nir")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return main([*command, *options])


def test_the_command_takes_a_teacher_and_images_and_moves_events(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = ("--teacher", str(files / "teacher.nir"))
    assert run(files, "--finetune", str(files / "images.npz"), "--encoder", "rate", *teacher) == 0
    assert run(files, "--finetune", str(files / "train.npz"), "--augment", "events") == 0
    assert "50.00% of all weights are zero" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--teacher", "teacher.nir"), "--teacher is for training"),
        (("--finetune", "images.npz", "--encoder", "rate", "--augment", "events"), "no events of their own"),
        (("--finetune", "images.npz"), "need the key 'spikes'"),
    ],
)
def test_the_command_refuses_what_contradicts_itself(
    files: Path, options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(files, *(str(files / o) if o.endswith((".nir", ".npz")) else o for o in options)) == 2
    assert message in " ".join(capsys.readouterr().err.split())
