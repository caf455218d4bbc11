"""Packed events and images: their codes in Python, and the hardware that unpacks them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from board_tops import FORM as FORM_OF_BOARD
from board_tops import NETWORK, bare_facts, emit_top, facts_of
from networks import random_spikes
from spikeloom.boards.devices import DEVICES
from spikeloom.boards.host.board import Board
from spikeloom.boards.host.facts import LinkFacts
from spikeloom.compiler.data.images import encode
from spikeloom.compiler.plan.host_link import link_for
from spikeloom.hdl.images.coding import Encoder, ImageCoding
from spikeloom.hdl.link.packing import AGAIN, MOST_ZEROS, STEP_ENDS, pack_events, pack_image, pack_steps
from spikeloom.hdl.link.protocol import (
    Code,
    Header,
    LinkFormat,
    Reason,
    Reply,
    crc_bytes,
    encode_frame,
    encode_sample,
    encode_steps,
    image_bytes,
    reply_class,
    sample_bytes,
    slip,
)
from spikeloom.sim import simulate
from spikeloom.sim.bad_cable import Fault, Noise, Relay, as_it_is
from spikeloom.sim.board_model import build_board
from spikeloom.sim.reference import run_reference
from spikeloom.sim.simulated_board import SimulatedBoard
from test_frame_receiver import Talk, WordKind, released
from test_host import QUICK, SPIKES, SlowDevice, assert_equal
from test_image_link import CODINGS, PIXELS, WHOLE, ImageHost, frames_of, images_of
from test_image_link import network as image_network
from test_link import Host, assert_answers, network

FORM = LinkFormat(inputs=784, outputs=10, packed=True)


def unpacked(codes: bytes) -> list[list[int]]:
    """What codes say, step by step, as the protocol defines them."""
    steps, place = [list[int]()], 0
    for code in codes:
        gap, run = code % 32, code // 32
        if code in (STEP_ENDS, AGAIN):
            place = 0
            steps += [[]] * (code == STEP_ENDS)
            steps[-1] = list(steps[-1])
        elif gap == 31:
            place += gap + 32 * run
        else:
            steps[-1] += range(place + gap, place + gap + run + 1)
            place += gap + run + 1
    return steps


def test_events_are_packed_as_documented() -> None:
    assert pack_events([0, 1, 2, 9]) == bytes([2 << 5, 6])
    assert pack_events([30]) == bytes([30]) and pack_events([31]) == bytes([31, 0])
    assert pack_events([62, 63]) == bytes([31, 31, 1 << 5]) and pack_events([95]) == bytes([2 << 5 | 31, 0])
    assert pack_events([3, 3]) == bytes([3, AGAIN, 3])
    assert pack_steps([[], [1]]) == bytes([STEP_ENDS, 1])


@pytest.mark.parametrize("inputs", [1, 6, 300, 784, 5000])
def test_codes_say_what_was_packed(inputs: int) -> None:
    rng = np.random.default_rng(inputs)
    for rate in (0.0, 0.01, 0.3, 1.0):
        steps = [np.flatnonzero(rng.random(inputs) < rate).tolist() for _ in range(4)]
        assert unpacked(pack_steps(steps)) == steps
    anyhow = rng.integers(0, inputs, 40).tolist()
    assert unpacked(pack_events(anyhow)) == [anyhow]


def test_an_image_has_its_zeros_counted() -> None:
    assert pack_image(bytes([0, 0, 7, 0])) == bytes([0, 2, 7, 0, 1])
    assert pack_image(bytes(MOST_ZEROS + 1)) == bytes([0, MOST_ZEROS, 0, 1])


def test_short_steps_share_a_frame_within_half_of_the_room() -> None:
    spikes = np.zeros((40, 784), np.uint8)
    spikes[:, :30] = 1
    frames = list(encode_sample(FORM, spikes))
    assert [frame.replies for frame in frames] == [4] * 10
    assert all(frame.words == 4 * 31 <= 127 for frame in frames)
    assert sum(frame.replies for frame in encode_sample(FORM, np.ones((2, 784), np.uint8))) == 2 * 4


def test_a_frame_of_steps_is_unpacked_into_words() -> None:
    form = LinkFormat(inputs=300, outputs=2, fifo_words=64, packed=True)
    steps = [[5, 6, 7, 299], [], [0, 0, 250]]
    frame = encode_steps(Header.FIRST | Header.END_OF_SAMPLE, steps)
    talk = Talk(frame.data)
    for number, step in enumerate(steps):
        end = WordKind.END_OF_SAMPLE if number == 2 else WordKind.END_OF_STEP
        talk.words += [(WordKind.EVENT, address) for address in step] + [(end, 0)]
    assert frame.words == len(talk.words)
    past = bytes([Header.FIRST | Header.END_OF_SAMPLE, 5 << 5 | 31, 5 << 5 | 31, STEP_ENDS])  # skips 382 inputs of 300
    talk.refuse(encode_steps(Header.FIRST, [[299], [298, 299, 300]]).data, Reason.ADDRESS)
    talk.refuse(slip(past + bytes([0xBF]) * 6 + crc_bytes(past + bytes([0xBF]) * 6)), Reason.ADDRESS)
    talk.refuse(encode_steps(Header.FIRST, [[1]] * 40).data, Reason.OVERRUN)
    talk.data += frame.data
    talk.words += talk.words[: frame.words]
    assert released(form, talk, rate=0.5) == (talk.words, talk.refusals)


@pytest.mark.parametrize(("inputs", "x_max"), [(6, 1), (6, 3), (300, 1)])
def test_samples_back_to_back(inputs: int, x_max: int) -> None:
    net = replace(network(inputs), x_max=x_max)
    spikes = random_spikes(2, net, 2, 5)
    expected = simulate(net, spikes, executor="reference").spikes
    host = Host(net, fifo_words=512 if inputs > 6 else 32, packed=True)
    frames = [frame for sample in spikes for frame in encode_sample(host.form, sample)]
    replies = host.run(host.sends_frames(frames))
    assert len(replies) == sum(frame.replies for frame in frames) and max(frame.replies for frame in frames) > 1
    assert_answers(replies, expected)
    sizes = [sample_bytes(host.form, *pair) for pair in zip(spikes, expected, strict=True)]
    assert [sum(size) for size in zip(*sizes, strict=True)] == [
        sum(len(frame.data) for frame in frames),
        host.bytes_received,
    ]


def test_a_broken_frame_of_steps_is_refused_whole() -> None:
    net = network()
    spikes = random_spikes(2, net, 1, 5)
    host = Host(net, fifo_words=64, packed=True)
    frame, *rest = encode_sample(host.form, spikes[0])
    broken = frame.data[:-4] + bytes([frame.data[-4] ^ 1]) + frame.data[-3:]
    last = encode_frame(host.form, Header.END_OF_SAMPLE, [1]).data
    replies = host.run(
        host.sends(broken), host.awaits(1), host.sends(last), host.awaits(2), host.sends_frames([frame, *rest])
    )
    assert [reply.reason for reply in replies[:2]] == [Reason.CHECKSUM, Reason.ORDER]
    assert_answers(replies[2:], simulate(net, spikes, executor="reference").spikes)


@pytest.mark.parametrize("name", ["rate", "direct"])
def test_images_become_the_references_classes(name: str) -> None:
    coding, images = CODINGS[name], images_of(6)
    images[4, 2:7] = 0
    host = ImageHost(coding, packed=True)
    replies = host.run(host.sends_frames(frames_of(host.form, images)))
    recording = run_reference(image_network(coding), encode(images, coding))
    assert [reply_class(host.form, reply) for reply in replies] == recording.predicted.tolist()
    sizes = [image_bytes(host.form, *pair) for pair in zip(images, recording.spikes, strict=True)]
    assert sum(to for to, _ in sizes) == sum(len(frame.data) for frame in frames_of(host.form, images))


def test_faulty_images_are_answered_and_leave_no_trace() -> None:
    coding = CODINGS["direct"]
    faults = [
        (bytes([0, PIXELS + 1]), Reason.SIZE),
        (bytes([0, PIXELS - 1]), Reason.SIZE),
        (bytes([0, PIXELS, 0, 1]), Reason.SIZE),
        (bytes([0, 64 + PIXELS]), Reason.SIZE),
        (bytes([9] * PIXELS + [0]), Reason.SIZE),
        (bytes([9] * (PIXELS - 1) + [0]), Reason.SIZE),
    ]
    host = ImageHost(coding, packed=True)
    images = images_of()
    bad = [bytes([WHOLE]) + content for content, _ in faults]
    talk = [
        part for n, body in enumerate(bad) for part in (host.sends(slip(body + crc_bytes(body))), host.awaits(n + 1))
    ]
    replies = host.run(*talk, host.sends_frames(frames_of(host.form, images)))
    assert replies[: len(faults)] == [Reply(Code.ERROR, reason=reason) for _, reason in faults]
    expected = run_reference(image_network(coding), encode(images, coding)).predicted
    assert [reply_class(host.form, reply) for reply in replies[len(faults) :]] == expected.tolist()


def test_mnist_goes_over_in_fewer_bytes() -> None:
    """A step of a digit of strokes is a third of its addresses; as an image it is a third of its pixels."""
    rows = np.zeros((28, 28), np.uint8)
    for row in range(6, 22):
        rows[row, 8 + row % 5 : 14 + row % 5] = 255
    plain = replace(FORM, packed=False)
    step = (rows.reshape(1, -1) > 0).astype(np.uint8)
    sizes = [sum(len(frame.data) for frame in encode_sample(form, step)) for form in (plain, FORM)]
    assert sizes[1] * 5 < sizes[0]
    coding = ImageCoding(encoder=Encoder.RATE, steps=25)
    image = rows.reshape(-1)
    outputs = np.zeros((25, 10), np.uint8)
    sizes = [image_bytes(replace(form, coding=coding), image, outputs)[0] for form in (plain, FORM)]
    assert sizes[1] * 4 < sizes[0]


# ------------------------------------------------------------------------------------------------ at a whole board


class SlowPackedDevice(SlowDevice):
    """A slow device that unpacks its frames, whose words are free with the last reply of each."""

    def write(self, data: bytes) -> None:
        for byte in data:
            body = self._frames.feed(byte)
            if body is not None and body[0] >= 8:
                self._waiting.append((0, Code.ERROR))
            elif body is not None:
                steps = unpacked(body[1:-2])
                ends = {Header.END_OF_STEP: Code.STEP, Header.END_OF_SAMPLE: Code.SAMPLE}
                end = ends.get(Header(body[0] & ~Header.FIRST), Code.ACCEPTED)
                words = sum(len(step) + 1 for step in steps)
                self._waiting += [(0, Code.STEP)] * (len(steps) - 1) + [(words, end)]
        self.most = max(self.most, sum(words for words, _ in self._waiting))


def test_a_device_gets_no_more_than_it_has_room_for() -> None:
    facts = replace(bare_facts(), packed=True)
    device = SlowPackedDevice(facts.form)
    with Board(device, facts) as host:
        answers = host.predict(SPIKES)
    assert facts.fifo_words // 2 < device.most < facts.fifo_words
    assert answers.spikes is not None and not answers.spikes.any()


@pytest.fixture(scope="module")
def packed_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SimulatedBoard, LinkFacts]]:
    folder, form = tmp_path_factory.mktemp("packed"), replace(FORM_OF_BOARD, packed=True, fifo_words=64, identity=99)
    top = emit_top(folder, "icebreaker", form=form)
    with SimulatedBoard(build_board(top, quiet_cycles=100_000)) as simulated:
        yield simulated, facts_of(top, NETWORK, form)


def test_a_board_answers_as_the_reference_does(packed_board: tuple[SimulatedBoard, LinkFacts]) -> None:
    board, facts = packed_board
    with Board(board.port, facts) as host:
        assert_equal(host.predict(SPIKES, profile=True))


@pytest.mark.parametrize("faults", [(Noise(1 / 150, flip=0x10), as_it_is), (as_it_is, Noise(1 / 150))])
def test_what_is_spoilt_is_sent_again_and_counts_once(
    tmp_path: Path, packed_board: tuple[SimulatedBoard, LinkFacts], faults: tuple[Fault, Fault]
) -> None:
    board, facts = packed_board
    with Relay(tmp_path, board.port, *faults) as relay, Board(relay.port, facts, patience=QUICK) as host:
        answers = host.predict(SPIKES, profile=True)
    assert_equal(answers)
    assert answers.profile is not None and answers.profile.repeated > 0


def test_a_link_is_packed_where_that_pays() -> None:
    wide, narrow = network(300), network(256)
    small, large = DEVICES["hx1k"].capacity, DEVICES["up5k"].capacity
    coding = ImageCoding(encoder=Encoder.RATE, steps=5)
    assert link_for(wide, large).packed and not link_for(wide, small).packed and not link_for(narrow, large).packed
    assert link_for(narrow, large, coding).packed
    assert link_for(narrow, small, packed=True).packed and not link_for(wide, large, packed=False).packed
