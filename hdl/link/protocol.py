"""The host link's protocol in plain Python, for hosts and tests; `spikeloom.hdl.link.linked_core` is its hardware.

Both directions carry SLIP frames (RFC 1055: END 0xC0, escapes 0xDB 0xDC and 0xDB 0xDD) whose last two bytes are a
CRC-16 (polynomial 0x1021, initial value 0xFFFF, most significant byte first) over the bytes before them.

Host to device: a header byte, then event addresses, each of one byte (two, least significant first, for more than 256
inputs). A value above 1 is that many events. Header bits: `FIRST` in a sample's first frame, `END_OF_STEP` where the
step ends with the frame, `END_OF_SAMPLE` where the sample does (which ends its last step). A step may span frames.

Device to host, for every frame exactly one reply: the spikes' addresses, then a code. `ACCEPTED` answers a frame that
ends nothing, `STEP` and `SAMPLE` one that ends a step or a sample and bring that step's output spikes, `ERROR` follows
a byte with the `Reason`: the frame was refused, the sample is dropped, and frames are refused until one with `FIRST`.
A `FIRST` frame in the middle of a sample is refused too: repeat it.

Flow control: the device stores `fifo_words` words, a frame takes one per event and one more, and its words are free
again once it is answered. The host keeps the sum over unanswered frames within `fifo_words - 1`.

A device with an encoder takes images instead. A frame is one image: the header `FIRST | END_OF_SAMPLE`, then a byte per
pixel. Its reply is a `SAMPLE` with the class as its only address (decoder argmax) or with the output spikes of all
steps (decoder counts), or an `ERROR`, after which nothing of the frame is left. The host sends an image once the one
before is answered; what comes too early is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag

import numpy as np
import numpy.typing as npt
from amaranth.lib.crc.catalog import CRC16_IBM_3740

from ..errors import SampleError
from ..images.coding import Decoder, ImageCoding

CRC = CRC16_IBM_3740(data_width=8)
CRC_POLYNOMIAL = CRC16_IBM_3740.polynomial
CRC_INITIAL = CRC16_IBM_3740.initial_crc

END, ESCAPE, ESCAPED_END, ESCAPED_ESCAPE = 0xC0, 0xDB, 0xDC, 0xDD
CRC_BYTES = 2


class Header(IntFlag):
    """The header bits of a frame to the device."""

    FIRST = 1
    END_OF_STEP = 2
    END_OF_SAMPLE = 4


class Code(IntEnum):
    """What a reply says."""

    ACCEPTED = 0x80
    STEP = 0x81
    SAMPLE = 0x82
    ERROR = 0xE0


class Reason(IntEnum):
    """Why a frame was refused."""

    CHECKSUM = 1  # wrong CRC, too short, a broken byte or a broken escape
    ADDRESS = 2  # an address out of range, or half an address
    OVERRUN = 3  # more words than the device can store
    ORDER = 4  # no sample is under way and the frame is not a first one
    HEADER = 5  # unknown header bits
    FLASH = 6  # the weights have not been loaded from flash: their checksum is wrong, or it is too early
    SIZE = 7  # an image with another number of pixels than the network has inputs


REASON_BITS = max(Reason).bit_length()


@dataclass(frozen=True, kw_only=True)
class LinkFormat:
    """What both ends agree on: the network's `inputs` and `outputs`, and the device's `fifo_words`.

    `coding` is that of a device that takes images, and None where it takes events.
    """

    inputs: int
    outputs: int
    fifo_words: int = 256
    coding: ImageCoding | None = None

    @property
    def input_bytes(self) -> int:
        """Bytes of an event's address to the device."""
        return 1 if self.inputs <= 256 else 2

    @property
    def output_bytes(self) -> int:
        """Bytes of a spike's address from the device."""
        return 1 if self.outputs <= 256 else 2


@dataclass(frozen=True)
class Frame:
    """A frame to the device: its bytes on the line, and the words it takes there."""

    data: bytes
    words: int


@dataclass(frozen=True)
class Reply:
    """A reply: its code, the addresses of the output spikes, and for ERROR the reason."""

    code: Code
    spikes: tuple[int, ...] = ()
    reason: Reason | None = None


class LinkError(Exception):
    """Bytes from the device that are no reply."""


def crc_bytes(body: bytes) -> bytes:
    """The CRC-16 that follows `body`."""
    return int(CRC.compute(body)).to_bytes(CRC_BYTES, "big")


def slip(body: bytes) -> bytes:
    """`body` escaped and ended; an END in front flushes what noise left behind."""
    escaped = body.replace(bytes([ESCAPE]), bytes([ESCAPE, ESCAPED_ESCAPE]))
    return bytes([END]) + escaped.replace(bytes([END]), bytes([ESCAPE, ESCAPED_END])) + bytes([END])


def encode_frame(form: LinkFormat, header: Header, addresses: list[int]) -> Frame:
    """One frame with the events `addresses`."""
    body = bytes([header]) + b"".join(address.to_bytes(form.input_bytes, "little") for address in addresses)
    return Frame(slip(body + crc_bytes(body)), len(addresses) + 1)


def encode_sample(form: LinkFormat, spikes: npt.NDArray[np.uint8]) -> Iterator[Frame]:
    """The frames of one sample, `spikes` [steps, inputs]; a step of many events is split over frames."""
    room = form.fifo_words - 2
    steps = len(spikes)
    header = Header.FIRST
    for number, step in enumerate(spikes):
        addresses = np.repeat(np.arange(form.inputs), step).tolist()
        while len(addresses) > room:
            yield encode_frame(form, header, addresses[:room])
            addresses = addresses[room:]
            header = Header(0)
        end = Header.END_OF_SAMPLE if number == steps - 1 else Header.END_OF_STEP
        yield encode_frame(form, header | end, addresses)
        header = Header(0)


def encode_image(form: LinkFormat, image: npt.NDArray[np.uint8]) -> Frame:
    """The frame of one image, `image` uint8 [inputs]. Raises SampleError for another number of pixels."""
    if image.size != form.inputs:
        raise SampleError(f"an image has a pixel per input: {form.inputs} are needed, {image.size} given")
    body = bytes([Header.FIRST | Header.END_OF_SAMPLE]) + image.astype(np.uint8).tobytes()
    return Frame(slip(body + crc_bytes(body)), form.fifo_words - 1)


def reply_class(form: LinkFormat, reply: Reply) -> int:
    """The class that a reply to an image brings: the output with the most spikes, of several the lowest.

    Raises LinkError where it brings none.
    """
    if reply.code is not Code.SAMPLE or max(reply.spikes, default=0) >= form.outputs:
        raise LinkError(f"an image is answered by its class: got {reply}; is this a bitstream with an encoder?")
    if form.coding is not None and form.coding.decoder is Decoder.ARGMAX:
        if len(reply.spikes) != 1:
            raise LinkError(f"an image has one class: got {reply.spikes}; is this a bitstream with another decoder?")
        return reply.spikes[0]
    return int(np.argmax(np.bincount(reply.spikes, minlength=form.outputs)))


class ReplyDecoder:
    """Turns bytes from the device into replies."""

    def __init__(self, form: LinkFormat) -> None:
        self._form = form
        self._body = bytearray()
        self._escaping = False

    def feed(self, byte: int) -> Reply | None:
        """Take one byte; the reply that it completes, or None. LinkError for a frame that is no reply."""
        if byte == END:
            body, self._body, self._escaping = bytes(self._body), bytearray(), False
            return self._reply(body) if body else None
        if self._escaping:
            byte = {ESCAPED_END: END, ESCAPED_ESCAPE: ESCAPE}.get(byte, byte)
            self._escaping = False
        elif byte == ESCAPE:
            self._escaping = True
            return None
        self._body.append(byte)
        return None

    def _reply(self, body: bytes) -> Reply:
        if len(body) <= CRC_BYTES or crc_bytes(body[:-CRC_BYTES]) != body[-CRC_BYTES:]:
            raise LinkError(f"a reply ends with its checksum: got {body.hex()}; check the baud rate and the wiring")
        content, code = body[: -CRC_BYTES - 1], body[-CRC_BYTES - 1]
        try:
            if code == Code.ERROR:
                return Reply(Code.ERROR, reason=Reason(content[-1]))
            return Reply(Code(code), spikes=self._addresses(content))
        except (ValueError, IndexError):
            raise LinkError(f"a reply has a known code: got {body.hex()}; is this a Spikeloom bitstream?") from None

    def _addresses(self, content: bytes) -> tuple[int, ...]:
        size = self._form.output_bytes
        return tuple(int.from_bytes(content[i : i + size], "little") for i in range(0, len(content), size))


def sample_bytes(form: LinkFormat, inputs: npt.NDArray[np.uint8], outputs: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Bytes to and from the device for one sample: `inputs` [steps, inputs], `outputs` [steps, outputs] spikes."""
    frames = list(encode_sample(form, inputs))
    to_device = sum(len(frame.data) for frame in frames)
    from_device = sum(encoded_reply_length(form, np.flatnonzero(step).tolist()) for step in outputs)
    accepted = len(frames) - len(inputs)
    return to_device, from_device + accepted * len(slip(bytes([Code.ACCEPTED]) + crc_bytes(bytes([Code.ACCEPTED])))[1:])


def image_bytes(form: LinkFormat, image: npt.NDArray[np.uint8], outputs: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Bytes to and from the device for one image: `image` [inputs], `outputs` [steps, outputs] spikes."""
    addresses = np.repeat(np.nonzero(outputs)[1], outputs[np.nonzero(outputs)]).tolist()
    if form.coding is not None and form.coding.decoder is Decoder.ARGMAX:
        addresses = [int(np.argmax(outputs.sum(axis=0, dtype=np.int64)))]
    return len(encode_image(form, image).data), encoded_reply_length(form, addresses, Code.SAMPLE)


def encoded_reply_length(form: LinkFormat, addresses: list[int], code: Code = Code.STEP) -> int:
    """Bytes on the line of the reply that brings `addresses`."""
    body = b"".join(address.to_bytes(form.output_bytes, "little") for address in addresses) + bytes([code])
    return len(slip(body + crc_bytes(body))) - 1  # the device sends no END in front
