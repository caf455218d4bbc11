"""`spikeloom run` and `spikeloom board`: a small build on a simulated board, and what users see where it fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board_tops import bare_facts
from networks import chain, random_spikes
from spikeloom.boards.host import ports
from spikeloom.boards.host.answers import Answers
from spikeloom.boards.host.facts import LINK, read_facts
from spikeloom.boards.host.ports import Port
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.cli.run_command import _question
from spikeloom.compiler.data.images import encode
from spikeloom.compiler.data.samples import Samples
from spikeloom.compiler.flow.board_pins import board_program
from spikeloom.compiler.flow.compile import CompileOptions, compile_network
from spikeloom.compiler.flow.on_board import check_answers
from spikeloom.compiler.output.build_folder import BuildFolder
from spikeloom.compiler.plan.host_link import link_of
from spikeloom.hdl.errors import MismatchError
from spikeloom.hdl.images.coding import Decoder, Encoder, ImageCoding
from spikeloom.hdl.link.protocol import LinkFormat, longest_content
from spikeloom.sim.bad_cable import Faults, Noise, Relay
from spikeloom.sim.early_exit import early_exit
from spikeloom.sim.image_executor import decoded_classes
from spikeloom.sim.reference import run_reference
from spikeloom.sim.simulated_board import SimulatedBoard
from test_membrane_readout import integrating

NETWORK = chain(6, (12, 9, 6), fire=14, sub=15)
SPIKES = random_spikes(1, NETWORK, samples=40, steps=4)
EXPECTED = run_reference(NETWORK, SPIKES)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> BuildFolder:
    return compile_network(
        NETWORK, tmp_path_factory.mktemp("run") / "build", CompileOptions(board="icestick", own_clock=True)
    )


@pytest.fixture(scope="module")
def port(build: BuildFolder) -> Iterator[str]:
    with SimulatedBoard(board_program(build)) as board:
        yield board.port


@pytest.fixture
def data(tmp_path: Path) -> Path:
    labels = EXPECTED.predicted.copy()
    labels[:10] = (labels[:10] + 1) % 6
    np.savez_compressed(tmp_path / "samples.npz", spikes=SPIKES, labels=labels)
    return tmp_path / "samples.npz"


def ran(capsys: pytest.CaptureFixture[str], *argv: Any) -> str:
    status = main(["run", *map(str, argv)])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return captured.out


def failed(capsys: pytest.CaptureFixture[str], status: int, *argv: Any) -> str:
    assert main(list(map(str, argv))) == status
    return capsys.readouterr().err.splitlines()[-1].removeprefix("spikeloom: error: ")


def test_a_build_knows_its_design(build: BuildFolder) -> None:
    facts = read_facts(build.path)
    assert (facts.board, facts.bitstream, facts.clocks_per_bit) == ("icestick", "top.bin", 4)
    assert LINK in build.manifest["outputs"]
    assert 0 < facts.identity < 0xFFFF


@pytest.mark.parametrize("margin", [1, 3])
def test_samples_end_once_their_class_is_certain(
    build: BuildFolder, port: str, data: Path, margin: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the empty step that ends them nothing is left for the sample after: all are as the reference has them."""
    found = early_exit(EXPECTED.readout, EXPECTED.spikes, margin)
    output = data.with_name("answers.npz")
    argv = (build.path, "--port", port, "--data", data, "--early-exit", margin, "--json", "--output", output, "--force")
    for mode in (["--check"], []):
        saved = json.loads(ran(capsys, *argv, *mode))["early_exit"]
        with np.load(output) as answers:
            np.testing.assert_array_equal(answers["classes"], found.classes)
            np.testing.assert_array_equal(answers["steps"], found.steps)
            np.testing.assert_array_equal(answers["spikes"], found.spikes)
    assert saved["steps_taken"] == found.steps.mean() and len(set(found.steps.tolist())) > 1
    assert saved["cycles_taken"] < saved["cycles"]
    texts = [ran(capsys, build.path, "--port", port, "--data", data, *more) for more in ([], ["--early-exit", margin])]
    whole, early = (int(text.split("\nline: ")[1].split(" bytes")[0].replace(",", "")) for text in texts)
    assert early < whole if margin == 1 else early <= whole  # of four steps two are ahead


def test_where_a_class_is_certain_too_soon_that_is_a_mismatch(build: BuildFolder) -> None:
    found = early_exit(EXPECTED.readout, EXPECTED.spikes, 2)
    answers = Answers(classes=found.classes, spikes=found.spikes, steps=found.steps)
    samples, facts = Samples(spikes=SPIKES), read_facts(build.path)
    assert check_answers(NETWORK, facts, samples, answers, 2) == EXPECTED.spikes.size
    with pytest.raises(MismatchError, match="steps expected"):
        check_answers(NETWORK, facts, samples, replace(answers, steps=found.steps - 1), 2)
    with pytest.raises(MismatchError, match="class expected"):
        check_answers(NETWORK, facts, samples, replace(answers, classes=found.classes + 1), 2)


def test_a_build_knows_its_link_whole(tmp_path: Path) -> None:
    coding = ImageCoding(encoder=Encoder.RATE, decoder=Decoder.COUNTS, steps=100)
    form = LinkFormat(inputs=12, outputs=6, fifo_words=32, coding=coding, identity=9, most_spikes=15)
    (tmp_path / LINK).write_text(json.dumps(replace(bare_facts(), **vars(form)).data()))
    assert read_facts(tmp_path).form == form
    assert longest_content(read_facts(tmp_path).form) == 6 * 15 * 100


def test_a_board_is_compared_with_the_reference(
    build: BuildFolder, port: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ran(capsys, build.path, "--port", port, "--data", data, "--check").splitlines()
    assert lines[0] == f"40 samples answered by the design {read_facts(build.path).identity:04x}"
    assert lines[1].startswith("latency on the line: ") and "median of 10 sent alone" in lines[1]
    assert lines[2].endswith("(of 30, one after the other)")
    assert lines[3].endswith("at 3,000,000 baud; 0 times something was sent again")
    assert lines[4:] == [
        "accuracy: 75.00% of 40 samples, by spikes",
        "equal: 960 values and every class are the integer reference's",
    ]


def test_modes_send_alone_or_not(build: BuildFolder, port: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = build.path, "--port", port, "--data", data, "--limit", 8, "--json"
    latencies = {mode: json.loads(ran(capsys, *argv, "--mode", mode)) for mode in ("execute", "throughput")}
    assert len(latencies["execute"]["latencies_ms"]) == 8
    assert latencies["throughput"]["latencies_ms"] == [] and latencies["throughput"]["latency_ms"] is None
    assert all(found["samples_per_second"] > 0 for found in latencies.values())
    assert all(found["classes"] == EXPECTED.predicted[:8].tolist() for found in latencies.values())


def test_a_session_is_recorded_and_replayed_without_a_board(
    build: BuildFolder, port: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session, answers = tmp_path / "run.session", tmp_path / "answers.npz"
    facts = read_facts(build.path)
    with Relay(tmp_path, port, Noise(1 / 300, flip=4), Noise(1 / 200)) as relay:
        argv = "--data", data, "--check", "--timeout", 0.5, "--record", session, "--output", answers
        first = ran(capsys, build.path, "--port", relay.port, *argv)
    assert "; 0 times" not in first
    assert ran(capsys, build.path, "--replay", session, "--data", data, "--check") == first
    assert np.array_equal(np.load(answers)["spikes"], EXPECTED.spikes)
    assert json.loads(session.read_text().splitlines()[0])["identity"] == facts.identity

    np.savez_compressed(data, spikes=SPIKES[::-1])
    message = failed(capsys, 1, "run", build.path, "--replay", session, "--data", data)
    assert message.startswith("a session is replayed with what it was recorded with: byte ")
    message = failed(capsys, 2, "run", build.path, "--port", port, "--data", data, "--record", session)
    assert message.startswith("the output is a new file: ")


@pytest.mark.parametrize(
    "text", ["", "no session", '{"schema_version": 1, "identity": 5}\n["sent", 0.0, "00"]', '{"schema_version": 1}']
)
def test_a_file_that_is_no_session_is_refused(
    build: BuildFolder, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "session").write_text(text)
    message = failed(capsys, 2, "run", build.path, "--replay", tmp_path / "session", "--data", data)
    assert message.startswith("a recorded session is what --record writes: ")


def test_the_first_divergence_is_named(build: BuildFolder) -> None:
    facts, samples = read_facts(build.path), Samples(spikes=SPIKES)
    spikes = EXPECTED.spikes.copy()
    spikes[3, 2, 5] ^= 1
    with pytest.raises(MismatchError, match=r"^sample 3, step 2, population '\w+', neuron 5: output events expected"):
        check_answers(NETWORK, facts, samples, Answers(classes=EXPECTED.predicted, spikes=spikes))
    classes = EXPECTED.predicted.copy()
    classes[7] += 1
    with pytest.raises(MismatchError, match=r"^sample 7: class expected \d, got \d$"):
        check_answers(NETWORK, facts, samples, Answers(classes=classes, spikes=EXPECTED.spikes))


@pytest.mark.parametrize("decoder", [Decoder.ARGMAX, Decoder.FIRST_SPIKE, Decoder.COUNTS, Decoder.MEMBRANES])
def test_what_images_are_answered_is_compared(decoder: Decoder) -> None:
    network = integrating(3, (12, 9, 6), "membranes") if decoder is Decoder.MEMBRANES else NETWORK
    coding = ImageCoding(encoder=Encoder.LATENCY, steps=5, decoder=decoder)
    facts = replace(bare_facts(), coding=coding, readout=link_of(network, coding).readout)
    images = np.random.default_rng(3).integers(0, 256, (8, 12)).astype(np.uint8)
    samples = Samples(spikes=encode(images, coding), images=images)
    expected = run_reference(network, samples.spikes)
    counts = expected.spikes.sum(axis=1, dtype=np.int64)
    answers = Answers(
        classes=decoded_classes(expected, coding),
        counts=counts if decoder is Decoder.COUNTS else None,
        readings=expected.membranes if decoder is Decoder.MEMBRANES else None,
    )
    assert check_answers(network, facts, samples, answers) == 8 + {
        Decoder.COUNTS: 8 * 6, Decoder.MEMBRANES: 8 * 5 * 6
    }.get(decoder, 0)  # fmt: skip
    classes = answers.classes.copy()
    classes[7] += 1
    with pytest.raises(MismatchError, match=r"^sample 7: class expected \d, got \d$"):
        check_answers(network, facts, samples, replace(answers, classes=classes))
    if answers.counts is not None:
        counts[5, 2] += 1
        with pytest.raises(MismatchError, match=r"^image 5, population '\w+', neuron 2: spikes expected \d+, got \d+$"):
            check_answers(network, facts, samples, answers)
    if answers.readings is not None:
        readings = answers.readings.copy()
        readings[4, 3, 1] += 1
        with pytest.raises(MismatchError, match=r"^sample 4, step 3, population '\w+', neuron 1: reading expected"):
            check_answers(network, facts, samples, replace(answers, readings=readings))


def test_a_board_with_another_network_is_named(
    build: BuildFolder, port: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(build.path, other)
    facts = read_facts(other)
    (other / LINK).write_text(json.dumps(replace(facts, identity=facts.identity ^ 1).data()))
    message = failed(capsys, 1, "run", other, "--port", port, "--data", data)
    assert message.startswith(f"a board must have the build's design: {port} has the design {facts.identity:04x}")


def test_a_port_that_is_not_there_is_a_mistake(
    build: BuildFolder, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = failed(capsys, 2, "run", build.path, "--port", tmp_path / "absent", "--data", data)
    assert message.startswith(f"a port must be there: {tmp_path / 'absent'} is not; plug the board in")


def test_auto_takes_the_port_with_the_design(
    build: BuildFolder, port: str, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ports, "_PROBE_SECONDS", 0.3)
    controller, terminal = os.openpty()
    tty.setraw(terminal)
    silent = Port(os.ttyname(terminal), "FTDI")
    argv = "run", build.path, "--port", "auto", "--data", data, "--limit", 2
    try:
        monkeypatch.setattr(ports, "usb_ports", lambda: iter([silent, Port(port, "FTDI")]))
        assert main(list(map(str, argv))) == 0
        monkeypatch.setattr(ports, "usb_ports", lambda: iter([silent]))
        assert f"{silent.device}: silent (FTDI); write it" in failed(capsys, 1, *argv)
        monkeypatch.setattr(ports, "usb_ports", lambda: iter([]))
        assert failed(capsys, 1, *argv).startswith("a board is at a USB serial port: there is none")
    finally:
        os.close(controller)
        os.close(terminal)


def test_a_cable_has_the_faults_that_are_asked_for() -> None:
    data = bytes(range(256)) * 40
    lost, doubled, flipped = (Faults({name: 100}, 7)(data) for name in ("lost", "doubled", "flipped"))
    assert len(data) - 200 < len(lost) < len(data) - 50 and len(data) + 50 < len(doubled) < len(data) + 200
    changed = [a ^ b for a, b in zip(data, flipped, strict=True) if a != b]
    assert 50 < len(changed) < 200 and all(bits.bit_count() == 1 for bits in changed)
    silent = Faults({"silent": 2}, 7)
    assert len(silent(data)) < 20 and silent(data) == b""
    assert Faults({}, 7)(data) == data


@pytest.mark.parametrize("text", ["lost,lost", "torn", "lost=1", "lost=x", ""])
def test_faults_that_are_none_are_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["board", str(tmp_path), "--faults", text]) == 2
    assert "argument --faults: must be " in capsys.readouterr().err


def test_one_answer_to_every_sample_is_questioned(capsys: pytest.CaptureFixture[str]) -> None:
    alike, other = np.zeros(12, np.int64), np.arange(12) % 3
    for labels, classes, questioned in ((other, alike, True), (alike, alike, False), (other, other, False)):
        _question(Samples(spikes=np.zeros((12, 1, 1), np.uint8), labels=labels), Answers(classes=classes))
        assert ("every sample was answered by class 0" in capsys.readouterr().err) == questioned


def test_a_build_without_a_bitstream_has_no_board(
    build: BuildFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = compile_network(NETWORK, tmp_path / "bare", CompileOptions(verilog_only=True))
    assert failed(capsys, 2, "board", bare.path).startswith("a build for a board holds link.json: ")


def test_a_simulated_board_needs_a_compiler(
    build: BuildFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    message = failed(capsys, 1, "board", build.path)
    assert message.startswith("a simulated board needs a C++ compiler: neither g++ nor clang++ is on PATH; install one")


@contextmanager
def served(build: BuildFolder, link: Path, *options: str) -> Iterator[None]:
    """The command that serves a board, until it is stopped as a terminal does it."""
    program = "import sys; from spikeloom.compiler.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "board", str(build.path), "--link", str(link), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline().strip() == str(link)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130


def test_the_command_serves_a_board_until_it_is_stopped(
    build: BuildFolder, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = tmp_path / "board"
    with served(build, link):
        found = ran(capsys, build.path, "--port", link, "--data", data, "--check")
        assert "accuracy: 75.00%" in found and "equal: 960 values" in found
        assert failed(capsys, 2, "board", build.path, "--link", link).startswith("a link is made anew: ")
        message = failed(capsys, 2, "board", build.path, "--link", tmp_path / "no" / "x")
        assert message.startswith("a link needs a folder that can be written: ")
    assert not link.is_symlink()


@pytest.mark.slow
def test_samples_come_through_a_bad_cable(
    build: BuildFolder, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = tmp_path / "board"
    with served(build, link, "--faults", "lost=900,flipped=900,doubled=900,pulled=1500"):
        found = ran(capsys, build.path, "--port", link, "--data", data, "--check", "--timeout", 2)
    assert "accuracy: 75.00%" in found and "equal: 960 values" in found and "; 0 times" not in found


def test_running_loads_no_torch(build: BuildFolder, port: str, data: Path) -> None:
    program = (
        "import sys; from spikeloom.compiler.cli.main import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    )
    argv = [sys.executable, "-c", program, "run", str(build.path), "--port", port, "--data", str(data), "--check"]
    assert subprocess.run(argv, check=False).returncode == 0
