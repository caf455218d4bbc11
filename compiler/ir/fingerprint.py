"""A name for a value: the same content has the same fingerprint, in every process and on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np


def fingerprint(*values: Any) -> str:
    """The SHA-256 of dataclasses, arrays, mappings, sequences, strings, numbers and None, in hexadecimal."""
    digest = hashlib.sha256()
    for part in _parts(values):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    """The value as a sequence of byte strings from which it could be told from any other."""
    if is_dataclass(value) and not isinstance(value, type):
        yield f"dataclass {type(value).__name__}".encode()
        for field in fields(value):
            yield field.name.encode()
            yield from _parts(getattr(value, field.name))
    elif isinstance(value, np.ndarray):
        yield f"array {value.dtype.str} {value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}".encode()
        for key in sorted(value):
            yield from _parts(key)
            yield from _parts(value[key])
    elif isinstance(value, list | tuple):
        yield f"sequence {len(value)}".encode()
        for item in value:
            yield from _parts(item)
    elif isinstance(value, bytes):
        yield value
    elif isinstance(value, Enum):
        yield f"enum {value.name}".encode()
    elif value is None or isinstance(value, bool | int | float | str):
        yield f"{type(value).__name__} {value!r}".encode()
    else:
        raise TypeError(f"no fingerprint of a {type(value).__name__}")
