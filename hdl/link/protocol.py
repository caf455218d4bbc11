"""The host link's protocol in plain Python, for hosts and tests; `spikeloom.hdl.link.linked_core` is its hardware.

Both directions carry SLIP frames (RFC 1055: END 0xC0, escapes 0xDB 0xDC and 0xDB 0xDD) whose last two bytes are a
CRC-16 (polynomial 0x1021, initial value 0xFFFF, most significant byte first) over the bytes before them. In replies it
starts from the design's `identity` in place of 0xFFFF, so that every reply says who sent it (`link.identity`).

Host to device: a header byte, then event addresses, each of one byte (two, least significant first, for more than 256
inputs). A value above 1 is that many events. Header bits: `FIRST` in a sample's first frame, `END_OF_STEP` where the
step ends with the frame, `END_OF_SAMPLE` where the sample does (which ends its last step). A step may span frames.

Device to host, for every frame exactly one reply: the spikes' addresses, then a code. `ACCEPTED` answers a frame that
ends nothing, `STEP` and `SAMPLE` one that ends a step or a sample and bring that step's output spikes, `ERROR` follows
a byte with the `Reason`: the frame was refused, the sample is dropped, and frames are refused until one with `FIRST`.
A `FIRST` frame in the middle of a sample is refused too: repeat it.

A device whose output is read by its membranes brings readings in place of spikes: integers of `value_bytes`, two's
complement, least significant byte first, one for each output in order. They come with every step (readout `membranes`)
or with `SAMPLE` alone, where the class follows them: the output with the largest, of several the lowest, in as many
bytes as an address.

Flow control: the device stores `fifo_words` words, a frame takes one per event and one more, and its words are free
again once it is answered. The host keeps the sum over unanswered frames within `fifo_words - 1`.

A device with an encoder takes images instead. A frame is one image: the header `FIRST | END_OF_SAMPLE`, then a byte per
pixel. Its reply is a `SAMPLE` with the class as its only address (decoders argmax and first-spike), with the output
spikes of all steps (decoder counts) or with the readings (of all steps by the decoder membranes, else followed by the
class), or an `ERROR`, after which nothing of the frame is left. The host sends an image once the one
before is answered; what comes too early is refused.

A device with a `packed` link takes the same frames with fewer bytes in them (`link.packing`): the events as codes, of
several steps where these are short, or the zeros of an image as counts. A frame of several steps has a reply to each;
it is refused as a whole, with one, and its words are free again once its last step is answered.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from amaranth.lib.crc.catalog import CRC16_IBM_3740

from ..errors import InputError, SampleError
from ..images.coding import Decoder, ImageCoding
from ..json_files import read_json
from ..neurons.readout import ReadoutFormat
from .packing import pack_image, pack_steps

LINK = "link.json"
"""The file of a build that says what its host must know."""

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

    `coding` is that of a device that takes images, and None where it takes events; `readout` what a device gives in
    place of spikes, and None where it gives spikes, of which an output has `most_spikes` in a step at most. `identity`
    is what the checksums of replies start from. What a `packed` link takes is packed (`link.packing`).
    """

    inputs: int
    outputs: int
    fifo_words: int = 256
    coding: ImageCoding | None = None
    readout: ReadoutFormat | None = None
    identity: int = CRC_INITIAL
    most_spikes: int = 1
    packed: bool = False

    @classmethod
    def from_build(cls, folder: str | Path) -> LinkFormat:
        """The format of the design in a build folder, by its `link.json`. Raises InputError where that is missing or
        damaged."""
        file = Path(folder) / LINK
        if not file.is_file():
            raise InputError(
                f"a build for a board or device holds {LINK}: {folder} does not; compile it again, for one"
            )
        return read_json(file, cls, LINK, "compile again")

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
    """A frame to the device: its bytes on the line, the words it takes there, and its replies unless it is refused."""

    data: bytes
    words: int
    replies: int = 1


@dataclass(frozen=True)
class Reply:
    """A reply: its code, the addresses of the output spikes, and for ERROR the reason; of a device with a readout the
    readings, step by step, and the class where it is named."""

    code: Code
    spikes: tuple[int, ...] = ()
    reason: Reason | None = None
    readings: tuple[int, ...] = ()
    predicted: int | None = None


class LinkError(Exception):
    """Bytes from the device that are no reply."""


def crc_bytes(body: bytes, initial: int = CRC_INITIAL) -> bytes:
    """The CRC-16 that follows `body`."""
    return crc_hqx(body, initial).to_bytes(CRC_BYTES, "big")


def slip(body: bytes) -> bytes:
    """`body` escaped and ended; an END in front flushes what noise left behind."""
    escaped = body.replace(bytes([ESCAPE]), bytes([ESCAPE, ESCAPED_ESCAPE]))
    return bytes([END]) + escaped.replace(bytes([END]), bytes([ESCAPE, ESCAPED_END])) + bytes([END])


def encode_frame(form: LinkFormat, header: Header, addresses: list[int]) -> Frame:
    """One frame with the events `addresses`."""
    if form.packed:
        return encode_steps(header, [addresses])
    body = bytes([header]) + b"".join(address.to_bytes(form.input_bytes, "little") for address in addresses)
    return Frame(slip(body + crc_bytes(body)), len(addresses) + 1)


def encode_steps(header: Header, steps: list[list[int]]) -> Frame:
    """One packed frame with the events of several steps, of which the last ends as the header says."""
    body = bytes([header]) + pack_steps(steps)
    return Frame(slip(body + crc_bytes(body)), sum(len(step) + 1 for step in steps), len(steps))


def encode_sample(form: LinkFormat, spikes: npt.NDArray[np.uint8]) -> Iterator[Frame]:
    """The frames of one sample, `spikes` [steps, inputs]; a step of many events is split over frames."""
    if form.packed:
        yield from _encode_packed(form, spikes)
        return
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


def _encode_packed(form: LinkFormat, spikes: npt.NDArray[np.uint8]) -> Iterator[Frame]:
    """The same with several steps in a frame, up to half of the device's room so that the next can come meanwhile."""
    room, half = form.fifo_words - 2, (form.fifo_words - 1) // 2
    header, waiting, words = Header.FIRST, list[list[int]](), 0
    for step in spikes:
        layers = [np.flatnonzero(step > layer).tolist() for layer in range(max(1, int(step.max(initial=0))))]
        addresses = [address for layer in layers for address in layer]
        if waiting and words + len(addresses) + 1 > half:
            yield encode_steps(header | Header.END_OF_STEP, waiting)
            header, waiting, words = Header(0), [], 0
        while len(addresses) > room:
            yield encode_steps(header, [addresses[:room]])
            header, addresses = Header(0), addresses[room:]
        waiting.append(addresses)
        words += len(addresses) + 1
    yield encode_steps(header | Header.END_OF_SAMPLE, waiting)


def encode_image(form: LinkFormat, image: npt.NDArray[np.uint8]) -> Frame:
    """The frame of one image, `image` uint8 [inputs]. Raises SampleError for another number of pixels."""
    if image.size != form.inputs:
        raise SampleError(f"an image has a pixel per input: {form.inputs} are needed, {image.size} given")
    pixels = image.astype(np.uint8).tobytes()
    body = bytes([Header.FIRST | Header.END_OF_SAMPLE]) + (pack_image(pixels) if form.packed else pixels)
    return Frame(slip(body + crc_bytes(body)), form.fifo_words - 1)


def reply_class(form: LinkFormat, reply: Reply) -> int:
    """The class that a reply to an image brings: the output with the most spikes, of several the lowest, or that with
    the largest reading of the last step.

    Raises LinkError where it brings none.
    """
    if form.readout is not None:
        return _read_class(form, reply)
    if reply.code is not Code.SAMPLE or max(reply.spikes, default=0) >= form.outputs:
        raise LinkError(f"an image is answered by its class: got {reply}; is this a bitstream with an encoder?")
    if form.coding is not None and form.coding.decoder.names_class:
        if len(reply.spikes) != 1:
            raise LinkError(f"an image has one class: got {reply.spikes}; is this a bitstream with another decoder?")
        return reply.spikes[0]
    return int(np.argmax(np.bincount(reply.spikes, minlength=form.outputs)))


def _read_class(form: LinkFormat, reply: Reply) -> int:
    """The class of a reply with readings."""
    assert form.readout is not None
    if reply.code is not Code.SAMPLE or not reply.readings or (reply.predicted or 0) >= form.outputs:
        raise LinkError(f"an image is answered by readings: got {reply}; is this a bitstream with an encoder?")
    if reply.predicted is not None:
        return reply.predicted
    return int(np.argmax(reply.readings[-form.outputs :]))


class Unslip:
    """Turns bytes from the line into the bodies of frames, checksums included."""

    def __init__(self) -> None:
        self._body = bytearray()
        self._escaping = False

    def feed(self, byte: int) -> bytes | None:
        """Take one byte; the body that it completes, or None."""
        if byte == END:
            body, self._body, self._escaping = bytes(self._body), bytearray(), False
            return body or None
        if self._escaping:
            byte = {ESCAPED_END: END, ESCAPED_ESCAPE: ESCAPE}.get(byte, byte)
            self._escaping = False
        elif byte == ESCAPE:
            self._escaping = True
            return None
        self._body.append(byte)
        return None


class ReplyDecoder:
    """Turns bytes from the device into replies."""

    def __init__(self, form: LinkFormat) -> None:
        self._form = form
        self._frames = Unslip()

    def feed(self, byte: int) -> Reply | None:
        """Take one byte; the reply that it completes, or None. LinkError for a frame that is no reply."""
        body = self._frames.feed(byte)
        return None if body is None else self._reply(body)

    def _reply(self, body: bytes) -> Reply:
        if len(body) <= CRC_BYTES or crc_bytes(body[:-CRC_BYTES], self._form.identity) != body[-CRC_BYTES:]:
            raise LinkError(f"a reply ends with its checksum: got {body.hex()}; check the baud rate and the wiring")
        content, code = body[: -CRC_BYTES - 1], body[-CRC_BYTES - 1]
        try:
            if code == Code.ERROR:
                return Reply(Code.ERROR, reason=Reason(content[-1]))
            if self._form.readout is not None:
                return self._with_readings(Code(code), content, self._form.readout)
            return Reply(Code(code), spikes=self._addresses(content))
        except (ValueError, IndexError):
            raise LinkError(f"a reply has a known code: got {body.hex()}; is this a Spikeloom bitstream?") from None

    def _with_readings(self, code: Code, content: bytes, readout: ReadoutFormat) -> Reply:
        predicted = None
        if code is Code.SAMPLE and readout.names_class:
            content, name = content[: -self._form.output_bytes], content[-self._form.output_bytes :]
            predicted = int.from_bytes(name, "little")
        size = readout.value_bytes
        if len(content) % (size * self._form.outputs):
            raise LinkError(f"readings are {size} bytes for each of {self._form.outputs} outputs: got {content.hex()}")
        starts = range(0, len(content), size)
        readings = tuple(int.from_bytes(content[i : i + size], "little", signed=True) for i in starts)
        return Reply(code, readings=readings, predicted=predicted)

    def _addresses(self, content: bytes) -> tuple[int, ...]:
        size = self._form.output_bytes
        return tuple(int.from_bytes(content[i : i + size], "little") for i in range(0, len(content), size))


def sample_bytes(form: LinkFormat, inputs: npt.NDArray[np.uint8], outputs: npt.NDArray[Any]) -> tuple[int, int]:
    """Bytes to and from the device for one sample: `inputs` [steps, inputs], `outputs` [steps, outputs] spikes, or
    where it has a readout its readings."""
    frames = list(encode_sample(form, inputs))
    to_device = sum(len(frame.data) for frame in frames)
    accepted = sum(frame.replies for frame in frames) - len(inputs)
    from_device = accepted * _line_length(form, bytes([Code.ACCEPTED]))
    for number, step in enumerate(outputs):
        last = number == len(outputs) - 1
        if form.readout is None:
            from_device += encoded_reply_length(form, np.repeat(np.arange(form.outputs), step).tolist())
        elif last:
            from_device += _line_length(form, _readings(form, step, named=True) + bytes([Code.SAMPLE]))
        else:
            readings = _readings(form, step) if form.readout.every_step else b""
            from_device += _line_length(form, readings + bytes([Code.STEP]))
    return to_device, from_device


def image_bytes(form: LinkFormat, image: npt.NDArray[np.uint8], outputs: npt.NDArray[Any]) -> tuple[int, int]:
    """Bytes to and from the device for one image: `image` [inputs], `outputs` [steps, outputs] spikes, or where it has
    a readout its readings."""
    frame = len(encode_image(form, image).data)
    if form.readout is not None:
        steps = outputs if form.readout.every_step else outputs[-1:]
        earlier = b"".join(_readings(form, step) for step in steps[:-1])
        return frame, _line_length(form, earlier + _readings(form, steps[-1], named=True) + bytes([Code.SAMPLE]))
    addresses = np.repeat(np.nonzero(outputs)[1], outputs[np.nonzero(outputs)]).tolist()
    if form.coding is not None and form.coding.decoder is Decoder.ARGMAX:
        addresses = [int(np.argmax(outputs.sum(axis=0, dtype=np.int64)))]
    elif form.coding is not None and form.coding.decoder is Decoder.FIRST_SPIKE:
        addresses = [addresses[0] if addresses else 0]
    return frame, encoded_reply_length(form, addresses, Code.SAMPLE)


def _readings(form: LinkFormat, step: npt.NDArray[Any], *, named: bool = False) -> bytes:
    """The readings of a step, and the class where it is `named`, as a reply has them."""
    assert form.readout is not None
    size = form.readout.value_bytes
    content = b"".join(int(value).to_bytes(size, "little", signed=True) for value in step)
    if named and form.readout.names_class:
        content += int(np.argmax(step)).to_bytes(form.output_bytes, "little")
    return content


def longest_content(form: LinkFormat) -> int:
    """Bytes of the longest reply that a device can give, apart from code, checksum and escapes.

    Of all spikes of an image (decoder counts) every output may have its most in each step.
    """
    steps = 1 if form.coding is None or form.coding.decoder.names_class else form.coding.steps
    if form.readout is None:
        return form.outputs * form.most_spikes * form.output_bytes * steps
    return form.outputs * form.readout.value_bytes * (steps if form.readout.every_step else 1) + form.output_bytes


def encoded_reply_length(form: LinkFormat, addresses: list[int], code: Code = Code.STEP) -> int:
    """Bytes on the line of the reply that brings `addresses`."""
    return _line_length(form, b"".join(a.to_bytes(form.output_bytes, "little") for a in addresses) + bytes([code]))


def _line_length(form: LinkFormat, body: bytes) -> int:
    """Bytes on the line of a reply; the device sends no END in front."""
    return len(slip(body + crc_bytes(body, form.identity))) - 1
