"""The host's side: answers of simulated boards through pseudo-terminals, and what becomes of them on bad lines."""

from __future__ import annotations

import math
import os
import threading
import time
import tty
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from board_tops import FORM, NETWORK, bare_facts, emit_top, facts_of
from networks import chain, random_spikes
from spikeloom.boards import Board
from spikeloom.boards.host.answers import Answers, answers_of
from spikeloom.boards.host.exchange import Exchange
from spikeloom.boards.host.facts import ClassRule, LinkFacts, read_facts
from spikeloom.compiler.data.images import encode
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.ir.readout import ReadBy, Readout
from spikeloom.compiler.plan.host_link import link_of
from spikeloom.hdl.errors import InputError, LineError, OptionError, SampleError
from spikeloom.hdl.images.coding import Encoder, ImageCoding
from spikeloom.hdl.link.identity import identity_of, initial_of
from spikeloom.hdl.link.protocol import Code, Header, LinkFormat, Reason, Reply, Unslip, crc_bytes, slip
from spikeloom.sim.bad_cable import Fault, Noise, Relay, as_it_is
from spikeloom.sim.board_model import build_board
from spikeloom.sim.readout import readings, scores
from spikeloom.sim.reference import run_reference
from spikeloom.sim.simulated_board import SimulatedBoard

SPIKES = random_spikes(1, NETWORK, samples=40, steps=4)
EXPECTED = run_reference(NETWORK, SPIKES)
QUICK = 0.5
"""Seconds of patience with a simulated board that owes an answer."""


@dataclass(frozen=True)
class Built:
    """A program that is a board, and what a host knows of it."""

    program: Path
    facts: LinkFacts


def built(folder: Path, net: Network, form: LinkFormat) -> Built:
    top = emit_top(folder, "icebreaker", net=net, form=form)
    return Built(build_board(top, quiet_cycles=100_000), facts_of(top, net, form))


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return built(tmp_path_factory.mktemp("events"), NETWORK, replace(FORM, identity=0x1234))


@pytest.fixture
def board(events: Built) -> Iterator[SimulatedBoard]:
    with SimulatedBoard(events.program) as simulated:
        yield simulated


def assert_equal(answers: Answers) -> None:
    assert answers.spikes is not None
    assert np.array_equal(answers.spikes, EXPECTED.spikes)
    assert np.array_equal(answers.classes, EXPECTED.predicted)
    assert EXPECTED.spikes.any() and len(set(EXPECTED.predicted)) > 1


# ------------------------------------------------------------------------------------------------------ identity


def test_a_checksum_tells_what_it_started_from() -> None:
    for initial in (0, 1, 0x1234, 0xFFFF):
        content = bytes([initial & 0xFF, 0xE0])
        assert initial_of(content, int.from_bytes(crc_bytes(content, initial), "big")) == initial


def test_an_identity_is_of_all_parts_in_order() -> None:
    numbers = {identity_of(*parts) for parts in ([b"ab"], [b"a", b"b"], [b"b", b"a"], [b"a", b"b", b""])}
    assert len(numbers) == 4
    assert all(0 < number < 0xFFFF for number in numbers)


# ------------------------------------------------------------------------------------------------------- answers


def test_a_board_answers_as_the_reference_does(events: Built, board: SimulatedBoard) -> None:
    seen: list[tuple[int, int]] = []
    with Board(board.port, events.facts) as host:
        assert_equal(host.predict(SPIKES, progress=lambda done, total: seen.append((done, total))))
        answers = host.predict(SPIKES.reshape(40, 4, 3, 4), profile=True)  # and goes on after it
    assert_equal(answers)
    assert seen == [(n, 40) for n in range(1, 41)]
    profile = answers.profile
    assert profile is not None
    assert len(profile.latencies) == 10 and profile.samples == 30 and profile.repeated == 0
    assert profile.latency > 0 and profile.throughput > 0
    board.close()
    assert board.cycles is not None and board.cycles > 40 * 4 * 10


class SlowDevice:
    """A line to a device that answers one frame whenever it is listened to, without a spike; `most` is how many words
    it held at a time."""

    name = "a slow device"
    now = 0.0

    def __init__(self, form: LinkFormat) -> None:
        self.most = 0
        self._form = form
        self._frames = Unslip()
        self._waiting: list[tuple[int, Code]] = []

    def write(self, data: bytes) -> None:
        bodies = [body for byte in data if (body := self._frames.feed(byte)) is not None]
        for body in bodies:
            codes = {Header.END_OF_STEP: Code.STEP, Header.END_OF_SAMPLE: Code.SAMPLE}
            code = codes.get(Header(body[0] & ~Header.FIRST), Code.ACCEPTED) if body[0] < 8 else Code.ERROR
            self._waiting.append((len(body) - 2, code))
        self.most = max(self.most, sum(words for words, code in self._waiting if code is not Code.ERROR))

    def read(self, seconds: float) -> bytes:
        if not self._waiting:
            return b""
        code = self._waiting.pop(0)[1]
        body = bytes([Reason.HEADER, code] if code is Code.ERROR else [code])
        return slip(body + crc_bytes(body, self._form.identity))

    def reopen(self) -> None:
        raise AssertionError("it is never lost")

    def close(self) -> None:
        pass


def test_a_device_gets_no_more_than_it_has_room_for() -> None:
    facts = bare_facts()
    device = SlowDevice(facts.form)
    with Board(device, facts) as host:
        answers = host.predict(SPIKES)
    assert device.most == facts.fifo_words - 1
    assert answers.spikes is not None and not answers.spikes.any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("board_id", "clock_hz"),
    [
        ("upduino", None),
        ("icebreaker", 24e6),
        ("icestick", 24e6),
        ("ulx3s-12f", 50e6),
        ("ecpix5-45f", None),
        ("colorlight-5a75b", None),
    ],
)
def test_other_boards_are_simulated_with_their_clocks(tmp_path: Path, board_id: str, clock_hz: float | None) -> None:
    top = emit_top(tmp_path, board_id, clock_hz)
    program = build_board(top, quiet_cycles=100_000)
    with SimulatedBoard(program) as simulated, Board(simulated.port, facts_of(top, NETWORK, FORM)) as host:
        assert_equal(host.predict(SPIKES))


@pytest.fixture
def board_for_images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Built]]:
    net = chain(1, (12, 9, 6), fire=14, sub=15)
    coding = ImageCoding(encoder=Encoder.LATENCY, steps=5)
    made = built(tmp_path_factory.mktemp("images"), net, replace(link_of(net, coding), identity=77))
    with SimulatedBoard(made.program) as simulated:
        yield simulated.port, made


def test_images_are_answered_by_classes(tmp_path: Path, board_for_images: tuple[str, Built]) -> None:
    port, made = board_for_images
    net, coding = chain(1, (12, 9, 6), fire=14, sub=15), made.facts.coding
    images = np.random.default_rng(3).integers(0, 256, (30, 3, 4)).astype(np.uint8)
    assert coding is not None
    expected = run_reference(net, encode(images.reshape(30, -1), coding)).predicted
    faults = Noise(1 / 200, flip=8), Noise(1 / 60)
    with Relay(tmp_path, port, *faults) as relay, Board(relay.port, made.facts, patience=QUICK) as host:
        answers = host.predict(images, profile=True)
    assert np.array_equal(answers.classes, expected)
    assert answers.spikes is None and answers.profile is not None and answers.profile.repeated > 0


def test_readings_come_from_a_board_that_gives_them(tmp_path: Path) -> None:
    from test_membrane_readout import integrating

    net = integrating(3, (6, 5, 4), "membrane-max")
    spikes = random_spikes(5, net, samples=5, steps=3)
    form = link_of(net)
    made = built(tmp_path, net, replace(form, identity=3))
    with SimulatedBoard(made.program) as board, Board(board.port, made.facts) as host:
        answers = host.predict(spikes)
    membranes = run_reference(net, spikes, membranes=True).membranes
    assert form.readout is not None and membranes is not None and answers.readings is not None
    given, classes = readings(form.readout, membranes)
    assert np.array_equal(answers.readings, given)
    assert np.array_equal(answers.classes, classes[:, -1, 0])


@pytest.mark.parametrize(
    "readout",
    [
        Readout(),
        Readout(by=ReadBy.FIRST_SPIKE),
        Readout(classes=3),
        Readout(by=ReadBy.FIRST_SPIKE, classes=2),
        Readout(threshold=3),
    ],
    ids=str,
)
def test_classes_are_those_of_the_readout(readout: Readout) -> None:
    outputs = 1 if readout.threshold is not None else 6
    spikes = (np.random.default_rng(4).random((50, 7, outputs)) < 0.3).astype(np.uint8)
    facts = replace(
        bare_facts(outputs),
        rule=ClassRule(by=readout.by.value, classes=readout.classes, threshold=readout.threshold),
    )
    replies = [
        [Reply(Code.STEP if k < 6 else Code.SAMPLE, tuple(np.flatnonzero(step))) for k, step in enumerate(sample)]
        for sample in spikes
    ]
    answers = answers_of(facts, replies, 7, None)
    assert np.array_equal(answers.classes, scores(readout, spikes, None).argmax(axis=1))


@pytest.mark.parametrize(
    ("replies", "message"),
    [
        ([Reply(Code.SAMPLE)], "a sample of 2 steps has as many answers: sample 0 has 1"),
        ([Reply(Code.STEP, (6,)), Reply(Code.SAMPLE)], "the network has 6 outputs: sample 0 has a spike of another"),
    ],
)
def test_answers_that_no_build_gives_are_refused(replies: list[Reply], message: str) -> None:
    with pytest.raises(LineError, match=f"^{message}$"):
        answers_of(bare_facts(), [replies], 2, None)


# ----------------------------------------------------------------------------------------------------- bad lines


@pytest.mark.parametrize(
    ("to_board", "to_host"),
    [
        (Noise(1 / 300, flip=0x10), as_it_is),
        (Noise(1 / 300), as_it_is),
        (as_it_is, Noise(1 / 150, flip=0x01)),
        (as_it_is, Noise(1 / 150)),
        (Noise(1 / 500), Noise(1 / 300, flip=0x80)),
    ],
    ids=["garbled to the board", "lost to the board", "garbled to the host", "lost to the host", "both"],
)
def test_what_is_spoilt_is_sent_again_and_counts_once(
    tmp_path: Path, events: Built, board: SimulatedBoard, to_board: Fault, to_host: Fault
) -> None:
    with (
        Relay(tmp_path, board.port, to_board, to_host) as relay,
        Board(relay.port, events.facts, patience=QUICK) as host,
    ):
        answers = host.predict(SPIKES, profile=True)
    assert_equal(answers)
    assert answers.profile is not None and answers.profile.repeated > 0


class Deaf:
    """A line to a device that does not hear the first probe."""

    name, now = "here", 0.0

    def __init__(self) -> None:
        self._heard, self._said = 0, b""

    def write(self, data: bytes) -> None:
        body = bytes([Reason.HEADER, Code.ERROR])
        self._said += slip(body + crc_bytes(body, 7)) if self._heard else b""
        self._heard += 1

    def read(self, seconds: float) -> bytes:
        said, self._said = self._said, b""
        return said

    def reopen(self) -> None: ...

    def close(self) -> None: ...


def test_a_device_that_is_known_is_asked_again_where_a_probe_was_spoilt() -> None:
    assert Exchange(Deaf(), FORM, QUICK).identify() is None
    assert Exchange(Deaf(), FORM, QUICK).identify(known=True) == 7


def pulled(relay: Relay, after: int, board: str | None = None) -> threading.Thread:
    """Pull the cable once so many bytes have gone by, and plug it in again soon."""
    relay.most = after

    def act() -> None:
        while relay.carried < after:
            time.sleep(0.005)
        relay.pull()
        relay.most = math.inf
        time.sleep(0.4)
        relay.plug(board)

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_a_run_goes_on_after_the_cable_was_pulled(tmp_path: Path, events: Built, board: SimulatedBoard) -> None:
    with Relay(tmp_path, board.port) as relay, Board(relay.port, events.facts, patience=QUICK) as host:
        hand = pulled(relay, after=relay.carried + 600)
        answers = host.predict(SPIKES, profile=True)
        hand.join()
    assert_equal(answers)
    assert answers.profile is not None and answers.profile.repeated >= 1


def test_another_board_at_the_cable_is_noticed(
    tmp_path: Path, events: Built, board: SimulatedBoard, board_for_images: tuple[str, Built]
) -> None:
    with Relay(tmp_path, board.port) as relay, Board(relay.port, events.facts, patience=QUICK) as host:
        hand = pulled(relay, after=relay.carried + 600, board=board_for_images[0])
        with pytest.raises(LineError, match=r"^\d+ of 40 samples were answered: a board must have the build's design"):
            host.predict(SPIKES)
        hand.join()


def test_a_cable_that_stays_out_ends_the_run(tmp_path: Path, events: Built, board: SimulatedBoard) -> None:
    with Relay(tmp_path, board.port) as relay:
        with Board(relay.port, events.facts, patience=QUICK, reconnect=0.3) as host:
            relay.pull()
            with pytest.raises(LineError, match=r"^0 of 40 samples were answered: a port must be there: .*port is not"):
                host.predict(SPIKES)
        relay.plug()


def test_a_board_with_another_network_is_refused(events: Built, board: SimulatedBoard) -> None:
    with pytest.raises(LineError) as caught:
        Board(board.port, replace(events.facts, identity=0x4321), patience=QUICK)
    assert str(caught.value) == (
        f"a board must have the build's design: {board.port} has the design 1234, the build is 4321; write it to the "
        "board with spikeloom flash"
    )


def test_a_line_that_is_always_bad_is_given_up(tmp_path: Path, events: Built, board: SimulatedBoard) -> None:
    with Relay(tmp_path, board.port) as relay, Board(relay.port, events.facts, patience=QUICK) as host:
        relay.faults = (Noise(1 / 13, flip=1), as_it_is)
        with pytest.raises(LineError, match=r"^0 of 40 samples were answered: .*"):
            host.predict(np.repeat(SPIKES, 2, axis=1))


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A pseudo-terminal with nobody at its other end."""
    controller, end = os.openpty()
    tty.setraw(end)
    yield controller, os.ttyname(end)
    os.close(controller)
    os.close(end)


def test_a_silent_port_is_no_board(terminal: tuple[int, str]) -> None:
    with pytest.raises(LineError, match=r"^a board answers a probe: .* was silent for 0.1 s; is it powered"):
        Board(terminal[1], bare_facts(), patience=0.1)


def test_noise_is_no_board(terminal: tuple[int, str]) -> None:
    over = threading.Event()

    def babble() -> None:
        rng = np.random.default_rng(1)
        while not over.is_set():
            os.write(terminal[0], rng.integers(0, 256, 64).astype(np.uint8).tobytes())
            time.sleep(0.001)

    thread = threading.Thread(target=babble)
    thread.start()
    try:
        with pytest.raises(LineError, match=r"^a board answers in frames: .* brings \d+ bytes that are none of ours"):
            Board(terminal[1], bare_facts(), patience=0.1)
    finally:
        over.set()
        thread.join()


def test_a_port_has_one_user(events: Built, board: SimulatedBoard) -> None:
    with Board(board.port, events.facts), pytest.raises(OptionError, match=r"^a port has one user at a time: .* busy"):
        Board(board.port, events.facts)


def test_ports_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"^a port must be there: .*absent is not; plug the board in"):
        Board(str(tmp_path / "absent"), bare_facts())
    (tmp_path / "file").write_text("x")
    with pytest.raises(OptionError, match=r"^a port must be a serial line: .*file is not"):
        Board(str(tmp_path / "file"), bare_facts())


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 3, 11), np.uint8), "of 12 inputs: got the shape"),
        (np.zeros(12, np.uint8), r"samples are spikes \[samples, steps, inputs\]: got the shape"),
        (np.zeros((0, 3, 12), np.uint8), "got the shape"),
        (np.zeros((2, 3, 12)), "samples are integers: got float64"),
        (np.full((1, 1, 12), 4), r"values of an input are 0\.\.3: got 4 to 4"),
    ],
)
def test_samples_that_do_not_suit_are_refused(
    events: Built, board: SimulatedBoard, samples: np.ndarray, message: str
) -> None:
    with Board(board.port, events.facts) as host, pytest.raises(SampleError, match=message):
        host.predict(samples)


def test_a_folder_that_is_no_build_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^a build for a board holds link.json: .* does not"):
        read_facts(tmp_path)
    (tmp_path / "link.json").write_text("{}")
    with pytest.raises(InputError, match=r"link.json must hold schema_version: .* does not; compile again"):
        read_facts(tmp_path)
    with pytest.raises(InputError, match=r"^a build is a folder: .*absent is none"):
        read_facts(tmp_path / "absent")
