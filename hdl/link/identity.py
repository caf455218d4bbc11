"""Which design is behind a line: every reply says it, and no byte or cell more than before.

The checksum of a reply starts from the design's identity, a number of 16 bits that is neither 0 nor `UNNAMED`, where
that of a frame to the device starts from 0xFFFF. A host that knows the identity checks replies by it; one that does not
works it out, since a CRC can be run backwards: of a body that it knows, each checksum has one initial value. To ask for
a reply at any moment it sends a frame that every device refuses (`probe_frame`), which also drops what was under way.
"""

from __future__ import annotations

import hashlib

from .protocol import CRC_BYTES, CRC_INITIAL, CRC_POLYNOMIAL, Code, Header, LinkFormat, Reason, crc_bytes, slip

UNNAMED = CRC_INITIAL
"""The identity of designs that were given none."""

_NO_HEADER = 0x80
_REFUSALS = (Reason.HEADER, Reason.SIZE, Reason.FLASH)
_CRC_BITS = 8 * CRC_BYTES


def identity_of(*parts: bytes) -> int:
    """The identity of a design that is made of these parts: of 65,534 numbers one."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return int.from_bytes(digest.digest()[:8], "big") % (UNNAMED - 1) + 1


def probe_frame(form: LinkFormat) -> bytes:
    """A frame that a device answers with an error and nothing else, whatever it was doing.

    A device that takes events drops the sample under way and answers `HEADER`, after the replies to all frames before.
    A device that takes images answers `SIZE`, or `OVERRUN` while it works on one, which it goes on with. Both answer
    `FLASH` while they wait for their weights.
    """
    header = _NO_HEADER if form.coding is None else Header.FIRST | Header.END_OF_SAMPLE
    return slip(bytes([header]) + crc_bytes(bytes([header])))


def probed_identity(body: bytes) -> int | None:
    """The identity in the body of a frame from a device, if that answers a probe and its device is idle; else None.

    Any two last bytes have an identity, so that noise may look like one: ask twice.
    """
    content, checksum = body[:-CRC_BYTES], body[-CRC_BYTES:]
    if len(content) != 2 or content[1] != Code.ERROR or content[0] not in _REFUSALS:
        return None
    return initial_of(content, int.from_bytes(checksum, "big"))


def initial_of(content: bytes, checksum: int) -> int:
    """The value that a CRC starts from to end with `checksum` behind `content`."""
    value = checksum
    for byte in reversed(content):
        for number in range(8):
            fed_back = value & 1  # the polynomial's lowest bit is set, and nothing else arrives there
            value = (value ^ (CRC_POLYNOMIAL if fed_back else 0)) >> 1
            value |= (fed_back ^ (byte >> number & 1)) << (_CRC_BITS - 1)
    return value
