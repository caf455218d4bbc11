"""Fewer bytes for events and for images, in plain Python; `link.packed_receiver` and `link.image_receiver` undo it.

Packed events: each byte is a code with a gap in its five low bits and a run in its three high bits, and says of a
step's inputs, from the first on, that the next gap of them have no event and the run + 1 after these have one each. A
gap of 31 makes another code: `STEP_ENDS` ends the step, `AGAIN` goes back to its first input (for values above 1), and
any lower run skips 31 + 32 * run inputs. A step that spans frames begins at its first input in each.

Packed images: a pixel of 0 is followed by how many there are of them, 1 to `MOST_ZEROS`; the others are themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

GAP_BITS = 5
LONG_GAP = (1 << GAP_BITS) - 1
"""The gap of codes without events, and the shortest that they skip."""

MOST_EVENTS = 8
"""The most events of a code: it has three bits for one less."""

STEP_ENDS = 7 << GAP_BITS | LONG_GAP
AGAIN = 6 << GAP_BITS | LONG_GAP
_LONGEST_SKIP = LONG_GAP + (5 << GAP_BITS)

MOST_ZEROS = 28
"""The most pixels of 0 in a row that one count says: a device writes them while the next byte comes."""


def pack_events(addresses: Sequence[int]) -> bytes:
    """The codes of events in their order; the fewest where they ascend."""
    codes, place, number = bytearray(), 0, 0
    while number < len(addresses):
        first, run = addresses[number], 1
        while run < MOST_EVENTS and addresses[number + run : number + run + 1] == [first + run]:
            run += 1
        if first < place:
            codes.append(AGAIN)
            place = 0
        while first - place >= LONG_GAP:
            skips = min((first - place - LONG_GAP) >> GAP_BITS, (_LONGEST_SKIP - LONG_GAP) >> GAP_BITS)
            codes.append(skips << GAP_BITS | LONG_GAP)
            place += LONG_GAP + (skips << GAP_BITS)
        codes.append((run - 1) << GAP_BITS | first - place)
        place, number = first + run, number + run
    return bytes(codes)


def pack_steps(steps: Sequence[Sequence[int]]) -> bytes:
    """The codes of steps, of which the last ends with its frame."""
    return bytes([STEP_ENDS]).join(pack_events(addresses) for addresses in steps)


def pack_image(pixels: bytes) -> bytes:
    """An image with its zeros counted."""
    packed, number = bytearray(), 0
    while number < len(pixels):
        packed.append(pixels[number])
        if pixels[number]:
            number += 1
            continue
        zeros = 1
        while zeros < MOST_ZEROS and pixels[number + zeros : number + zeros + 1] == b"\0":
            zeros += 1
        packed.append(zeros)
        number += zeros
    return bytes(packed)
