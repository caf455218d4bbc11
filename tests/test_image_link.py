"""A device that takes images over its link and answers classes, down to the UART's bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from networks import chain
from spikeloom.compiler.data.images import encode
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.errors import SampleError
from spikeloom.hdl.images.coding import Decoder, Encoder, ImageCoding
from spikeloom.hdl.link.linked_core import LinkedCore
from spikeloom.hdl.link.protocol import (
    END,
    ESCAPE,
    Code,
    Frame,
    Header,
    LinkError,
    LinkFormat,
    Reason,
    Reply,
    crc_bytes,
    encode_image,
    image_bytes,
    reply_class,
    slip,
)
from spikeloom.sim.reference import run_reference
from test_link import CLOCKS_PER_BIT, Host

PIXELS, OUTPUTS = 9, 4
CODINGS = {
    "rate": ImageCoding(encoder=Encoder.RATE, steps=5),
    "rate, counts": ImageCoding(encoder=Encoder.RATE, steps=5, decoder=Decoder.COUNTS),
    "latency": ImageCoding(encoder=Encoder.LATENCY, steps=4),
    "direct": ImageCoding(encoder=Encoder.DIRECT, steps=3, x_max=3),
    "one step": ImageCoding(encoder=Encoder.DIRECT, steps=1, x_max=3),
}


def network(coding: ImageCoding) -> Network:
    return replace(chain(29, (PIXELS, 9, OUTPUTS), fire=np.array(4), sub=np.array(4)), x_max=coding.x_max)


def images_of(count: int = 4) -> np.ndarray:
    """Black, white, one of bytes that need escapes, and noise."""
    rng = np.random.default_rng(7)
    special = np.tile([END, ESCAPE, 0], PIXELS)[:PIXELS]
    noise = rng.integers(0, 256, (count - 3, PIXELS))
    return np.vstack([np.zeros(PIXELS), np.full(PIXELS, 255), special, noise]).astype(np.uint8)


class ImageHost(Host):
    """A host of a device with an encoder and a decoder."""

    def __init__(self, coding: ImageCoding, packed: bool = False) -> None:
        net = network(coding)
        plan = make_plan(net)
        self.form = LinkFormat(inputs=PIXELS, outputs=OUTPUTS, coding=coding, packed=packed)
        self.dut = LinkedCore(plan.core(), self.form, CLOCKS_PER_BIT, plan.family)
        self.replies: list[Reply] = []
        self.bytes_received = 0


def frames_of(form: LinkFormat, images: np.ndarray) -> list[Frame]:
    return [encode_image(form, image) for image in images]


@pytest.mark.parametrize("coding", CODINGS.values(), ids=CODINGS.keys())
def test_images_become_the_references_classes(coding: ImageCoding) -> None:
    images = images_of(6)
    host = ImageHost(coding)
    replies = host.run(host.sends_frames(frames_of(host.form, images)))
    recording = run_reference(network(coding), encode(images, coding))
    assert [reply_class(host.form, reply) for reply in replies] == recording.predicted.tolist()
    if coding.decoder is Decoder.COUNTS:
        counts = [np.bincount(reply.spikes, minlength=OUTPUTS).tolist() for reply in replies]
        assert counts == recording.spikes.sum(axis=1).tolist()
    assert len(set(recording.predicted)) > 1
    sizes = [image_bytes(host.form, *pair) for pair in zip(images, recording.spikes, strict=True)]
    assert sum(to_device for to_device, _ in sizes) == sum(len(f.data) for f in frames_of(host.form, images))
    assert sum(from_device for _, from_device in sizes) == host.bytes_received


def frame_of(header: int, pixels: int) -> bytes:
    body = bytes([header]) + bytes(range(pixels))
    return slip(body + crc_bytes(body))


WHOLE = Header.FIRST | Header.END_OF_SAMPLE
CORRUPTED = bytearray(frame_of(WHOLE, PIXELS))
CORRUPTED[5] ^= 0x10
FAULTS = {
    "corrupted": (bytes(CORRUPTED), Reason.CHECKSUM),
    "a pixel short": (frame_of(WHOLE, PIXELS - 1), Reason.SIZE),
    "a pixel long": (frame_of(WHOLE, PIXELS + 1), Reason.SIZE),
    "twice as long": (frame_of(WHOLE, 2 * PIXELS), Reason.SIZE),
    "no pixel": (frame_of(WHOLE, 0), Reason.SIZE),
    "the checksum of nothing": (slip(crc_bytes(b"")), Reason.HEADER),
    "too short": (slip(b"\x05"), Reason.CHECKSUM),
    "a step": (frame_of(Header.FIRST | Header.END_OF_STEP, PIXELS), Reason.HEADER),
    "not a first": (frame_of(Header.END_OF_SAMPLE, PIXELS), Reason.HEADER),
    "unknown header": (frame_of(WHOLE | 0x40, PIXELS), Reason.HEADER),
    "broken escape": (bytes([ESCAPE, 0x01]) + frame_of(WHOLE, PIXELS)[1:], Reason.CHECKSUM),
}


@pytest.mark.parametrize(("data", "reason"), FAULTS.values(), ids=FAULTS.keys())
def test_a_faulty_image_is_answered_and_leaves_no_trace(data: bytes, reason: Reason) -> None:
    coding = CODINGS["direct"]
    host = ImageHost(coding)
    images = images_of()[3:]
    replies = host.run(host.sends(data), host.awaits(1), host.sends_frames(frames_of(host.form, images)))
    assert (replies[0].code, replies[0].reason) == (Code.ERROR, reason)
    expected = run_reference(network(coding), encode(images, coding)).predicted
    assert [reply_class(host.form, reply) for reply in replies[1:]] == expected.tolist()


def test_an_image_that_comes_too_early_is_refused() -> None:
    coding = replace(CODINGS["rate"], steps=120)
    host = ImageHost(coding)
    images = images_of()
    frame = encode_image(host.form, images[3]).data
    replies = host.run(host.sends(frame + frame), host.awaits(2), host.sends(frame), host.awaits(3))
    assert sorted(reply.code for reply in replies[:2]) == [Code.SAMPLE, Code.ERROR]
    assert [reply.reason for reply in replies if reply.code is Code.ERROR] == [Reason.OVERRUN]
    expected = run_reference(network(coding), encode(images[3:4], coding)).predicted[0]
    assert [reply_class(host.form, reply) for reply in replies if reply.code is Code.SAMPLE] == [expected] * 2


def test_noise_and_empty_frames_between_images_are_survived() -> None:
    coding = CODINGS["latency"]
    host = ImageHost(coding)
    images = images_of()
    replies = host.run(host.sends(bytes([END] * 4)), host.sends_frames(frames_of(host.form, images)))
    assert len(replies) == len(images)


def test_an_image_of_another_size_is_not_sent() -> None:
    form = LinkFormat(inputs=4, outputs=2, coding=CODINGS["rate"])
    with pytest.raises(SampleError, match="4 are needed, 5 given"):
        encode_image(form, np.zeros(5, np.uint8))


@pytest.mark.parametrize(
    "reply", [Reply(Code.STEP), Reply(Code.ERROR, reason=Reason.SIZE), Reply(Code.SAMPLE), Reply(Code.SAMPLE, (9,))]
)
def test_a_reply_without_a_class_is_an_error(reply: Reply) -> None:
    with pytest.raises(LinkError):
        reply_class(LinkFormat(inputs=4, outputs=2, coding=CODINGS["rate"]), reply)
