"""CIFAR10-DVS and DVS128 Gesture as they lie on disk, in small files made here."""

from __future__ import annotations

from pathlib import Path

import event_writers as writers
import numpy as np
import pytest
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.data import event_folders
from spikeloom.compiler.data.event_folders import (
    CIFAR10_DVS_SENSOR,
    LabelledEvents,
    as_samples,
    cifar10_dvs,
    class_folders,
    dvs_gesture,
)
from spikeloom.compiler.data.events import Events, Sensor, addresses, frames
from spikeloom.compiler.data.samples import load_samples
from spikeloom.hdl.errors import OptionError, SampleError


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    for name, numbers in (("cat", (2, 10, 1)), ("truck", (0,))):
        (tmp_path / name).mkdir()
        for number in numbers:
            rows = [(1000 + number, 3, 5, 0), (1500, 127, 0, 1)]
            (tmp_path / name / f"cifar10_{name}_{number}.aedat").write_bytes(writers.aedat2(rows))
    (tmp_path / "notes").mkdir()
    (tmp_path / "cat" / "README.txt").write_text("nothing")
    return tmp_path


def test_cifar10_dvs(cifar: Path) -> None:
    found = list(cifar10_dvs(cifar))
    assert [one.name for one in found] == [
        *(f"cat/cifar10_cat_{number}.aedat" for number in (1, 2, 10)),
        "truck/cifar10_truck_0.aedat",
    ]
    assert [one.label for one in found] == [3, 3, 3, 9]
    first = found[0].events
    assert first.t.tolist() == [0, 499] and first.x.tolist() == [122, 127] and first.y.tolist() == [124, 0]
    assert first.p.tolist() == [1, 0]
    other = next(cifar10_dvs(cifar, "tonic")).events
    assert other.x.tolist() == [5, 0] and other.y.tolist() == [3, 127] and other.p.tolist() == [0, 1]


def test_folders_as_samples(cifar: Path) -> None:
    small = Sensor(channels=2, rows=128, columns=128, crop=(0, 64, 128, 64), downsample=32)
    samples = as_samples(cifar10_dvs(cifar), small, step_us=100, steps=6)
    assert samples.spikes.shape == (4, 6, 2 * 4 * 2) and samples.labels is not None
    assert samples.labels.tolist() == [3, 3, 3, 9] and samples.spikes.sum() == 8
    recording = next(cifar10_dvs(cifar)).events
    assert np.array_equal(samples.spikes[0].reshape(6, 2, 4, 2), frames(recording, small, step_us=100, steps=6))


@pytest.fixture
def gestures(tmp_path: Path) -> Path:
    rows = [(t, t % 128, 7, t % 2) for t in range(0, 1000, 10)]
    packets = writers.aedat3_packet(rows[:50]), writers.aedat3_packet(rows[50:])
    (tmp_path / "user01_led.aedat").write_bytes(writers.aedat3(*packets))
    (tmp_path / "user01_led_labels.csv").write_text("class,startTime_usec,endTime_usec\n1,100,200\n11, 500,530\n\n")
    (tmp_path / "trials_to_train.txt").write_text("user01_led.aedat\n\n")
    (tmp_path / "trials_to_test.txt").write_text("")
    return tmp_path


def test_dvs_gesture(gestures: Path) -> None:
    found = list(dvs_gesture(gestures))
    assert [(one.name, one.label) for one in found] == [("user01_led 0", 0), ("user01_led 1", 10)]
    assert found[0].events.t.tolist() == list(range(0, 100, 10)) and found[0].events.x[0] == 100
    assert found[1].events.t.tolist() == [0, 10, 20]
    assert list(dvs_gesture(gestures, "test")) == []


def test_gestures_that_are_none(gestures: Path) -> None:
    with pytest.raises(OptionError, match="the parts train and test: got 'all'"):
        list(dvs_gesture(gestures, "all"))
    for line in ("12,1,2", "0,1,2", "1,5,4", "1,2", "1,-2,3"):
        (gestures / "user01_led_labels.csv").write_text(f"class,startTime_usec,endTime_usec\n{line}\n")
        with pytest.raises(SampleError, match=r"a line of labels is a class of 1 to 11, .* user01_led_labels\.csv has"):
            list(dvs_gesture(gestures))
    (gestures / "trials_to_train.txt").write_text("../user01_led.aedat\n")
    with pytest.raises(SampleError, match=r"lists names of \.aedat files: it has '\.\./user01"):
        list(dvs_gesture(gestures))
    (gestures / "trials_to_train.txt").write_text("user02_led.aedat\n")
    with pytest.raises(SampleError, match="events must be readable"):
        list(dvs_gesture(gestures))
    (gestures / "trials_to_train.txt").unlink()
    with pytest.raises(SampleError, match="a list of recordings must be readable"):
        list(dvs_gesture(gestures))
    (gestures / "trials_to_train.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(SampleError, match="it is not text"):
        list(dvs_gesture(gestures))


def test_folders_of_classes(tmp_path: Path) -> None:
    """Numbered ones in the order of their numbers, and any format in them."""
    for name in ("0", "10", "9"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "00001.bin").write_bytes(bytes([int(name), 2, 0x80, 0, 5]))
    found = list(class_folders(tmp_path))
    assert [(one.label, one.events.x.tolist()) for one in found] == [(0, [0]), (1, [9]), (2, [10])]


def test_refusals(tmp_path: Path, cifar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="an orientation is spikingjelly or tonic: got 'up'"):
        list(cifar10_dvs(cifar, "up"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SampleError, match=r"has folders airplane to truck: .* has none"):
        list(cifar10_dvs(tmp_path / "empty"))
    with pytest.raises(SampleError, match=r"in a folder for each class: .* has none"):
        list(class_folders(tmp_path / "empty"))
    with pytest.raises(SampleError, match=r"recordings need a folder: .* is none"):
        list(class_folders(tmp_path / "absent"))
    with pytest.raises(SampleError, match="samples need at least one recording"):
        as_samples([], CIFAR10_DVS_SENSOR, step_us=1, steps=1)
    beside = LabelledEvents(Events.of(*np.array([[0], [200], [3], [1]])), 0, "a/b")
    with pytest.raises(SampleError, match="x of an event is 0 to 127: it has 200 to 200, in a/b"):
        as_samples([beside], CIFAR10_DVS_SENSOR, step_us=1, steps=1)
    monkeypatch.setattr(event_folders, "MAX_FRAME_VALUES", 1000)
    with pytest.raises(OptionError, match="samples have at most 1,000 values: take fewer"):
        as_samples(cifar10_dvs(cifar), Sensor(channels=2, rows=128, columns=128, downsample=16), step_us=1, steps=4)


def test_addresses() -> None:
    """In the order of steps, repeated events too; the counts of `frames`."""
    recording = Events.of(*np.array([[2500, 0, 999, 2600, 9999], [5, 1, 1, 5, 0], [3, 2, 2, 3, 0], [1, 0, 0, 1, 0]]))
    sensor = Sensor(channels=2, rows=4, columns=6)
    put = addresses(recording, sensor, step_us=1000, steps=3)
    assert put.step.tolist() == [0, 0, 2, 2] and put.address.tolist() == [13, 13, 47, 47]
    counts = frames(recording, sensor, step_us=1000, steps=3, largest=255).reshape(3, -1)
    assert counts[0, 13] == 2 and counts[2, 47] == 2 and counts.sum() == 4
    for change in ({"step_us": 0}, {"steps": 0}):
        with pytest.raises(OptionError, match="steps are one or more"):
            addresses(recording, sensor, **({"step_us": 1, "steps": 1} | change))


def test_the_command(gestures: Path, cifar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.npz"
    argv = ["events", str(gestures), "--set", "gesture-train", "--step-us", "10", "--steps", "4", "--output", str(out)]
    assert main([*argv, "--downsample", "32"]) == 0
    assert "2 samples of 4 steps, 2 x 4 x 4" in capsys.readouterr().out
    with np.load(out) as data:
        assert data["spikes"].shape == (2, 4, 2, 4, 4) and data["labels"].tolist() == [0, 10]
        assert data["spikes"][:, :3].sum() == 6
    assert main(argv) == 2 and "--force" in capsys.readouterr().err
    single = str(cifar / "cat" / "cifar10_cat_1.aedat")
    argv = [
        "events",
        single,
        "--step-us",
        "1000",
        "--steps",
        "2",
        "--crop",
        "0x0x128x64",
        "--output",
        str(out),
        "--force",
    ]
    assert main(argv) == 0
    with np.load(out) as data:
        assert "labels" not in data and data["spikes"].shape == (1, 2, 2, 128, 64)
        assert data["spikes"].sum() == 1 and data["spikes"][0, 1, 0, 5, 3] == 1
    argv = [
        "events",
        str(cifar),
        "--set",
        "cifar10-dvs",
        "--step-us",
        "9",
        "--steps",
        "2",
        "--output",
        str(out),
        "--force",
    ]
    assert main([*argv, "--limit", "3"]) == 0
    assert load_samples(out).labels is not None and len(load_samples(out)) == 3
    assert main([*argv, "--sensor", "2x4"]) == 2
    assert "must be 3 whole numbers, CxRxC: got '2x4'" in capsys.readouterr().err
