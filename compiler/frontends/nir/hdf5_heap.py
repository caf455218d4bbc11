"""Read HDF5 strings of variable length straight out of a file's bytes.

The HDF5 library loops for ever, or copies one stored string thousands of times, when the global heap that holds such
strings is damaged. Here every step is bounded by the file: what cannot be read raises ValueError.

Layout from the HDF5 File Format Specification, version 3, sections III.E (global heap) and IV.B (variable length).
"""

from __future__ import annotations

import struct

_REFERENCE = struct.Struct("<IQI")  # length, address of the collection, index of the object in it
_COLLECTION = struct.Struct("<4sB3xQ")  # signature, version, size
_OBJECT = struct.Struct("<HH4xQ")  # index, reference count, size

REFERENCE_BYTES = _REFERENCE.size
"""What the data set itself stores for one string."""


def read_strings(image: bytes, offset: int, count: int) -> list[bytes]:
    """The `count` strings whose references stand at `offset` of the file `image`.

    ValueError where a reference leads nowhere, or where the strings together are longer than the file: writers store
    each string once.
    """
    collections: dict[int, dict[int, slice]] = {}
    strings, total, heaps = [], 0, 0
    for position in range(offset, offset + count * REFERENCE_BYTES, REFERENCE_BYTES):
        length, address, index = _unpack(_REFERENCE, image, position)
        if length == 0:
            strings.append(b"")
            continue
        if address not in collections:
            collections[address], size = _read_collection(image, address)
            heaps += size
        if index not in collections[address]:
            raise ValueError("a string is missing from the heap")
        text = image[collections[address][index]][:length].split(b"\0", 1)[0]
        total += len(text)
        if max(total, heaps) > len(image):
            raise ValueError("strings share their storage")
        strings.append(text)
    return strings


def _read_collection(image: bytes, address: int) -> tuple[dict[int, slice], int]:
    """Where the strings of a collection stand, by index, and the collection's size."""
    signature, version, size = _unpack(_COLLECTION, image, address)
    end = address + size
    if signature != b"GCOL" or version != 1 or end > len(image):
        raise ValueError("a string heap is damaged")
    objects: dict[int, slice] = {}
    position = address + _COLLECTION.size
    while position + _OBJECT.size <= end:
        index, _, length = _unpack(_OBJECT, image, position)
        if index == 0:  # the free space at the end
            break
        position += _OBJECT.size
        if position + length > end:
            raise ValueError("a string heap is damaged")
        objects[index] = slice(position, position + length)
        position += -(-length // 8) * 8
    return objects, size


def _unpack(layout: struct.Struct, image: bytes, position: int) -> tuple[int, ...]:
    if position + layout.size > len(image):
        raise ValueError("a string leads beyond the end of the file")
    return layout.unpack_from(image, position)
