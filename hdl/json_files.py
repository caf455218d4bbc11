"""JSON that others wrote, decoded into the types that it must have.

A type says what is expected (dataclasses, typed dictionaries, enumerations, lists), and anything else ends in one short
line: text that is no JSON, nesting without end, numbers that are not finite, wrong types, missing keys. Keys that no
type names are ignored.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from .errors import InputError
from .files import MAX_JSON_BYTES, read_regular

T = TypeVar("T")

MAX_REASON = 160
"""Characters of what messages say of the text that was found."""

MAX_SHOWN_BYTES = 1 << 20
"""Of larger files the type of what is wrong is shown, not its value."""

WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
"""What the types of JSON are called."""


class ShapeError(ValueError):
    """What is wrong with JSON, in a few words: `must` be this, but it `has` that.

    `place` says where, such as `engines[0].lanes`: "" the whole, None where the text is no JSON. `expected` and `found`
    are what that must be and what it is; None where something else is wrong with it than its type.
    """

    def __init__(
        self, must: str, has: str, place: str | None = None, expected: str | None = None, found: str | None = None
    ) -> None:
        super().__init__(f"{must}: {has}")
        self.must, self.has, self.place, self.expected, self.found = must, has, place, expected, found


def read_json(path: Path, kind: type[T], what: str, hint: str = "") -> T:
    """The contents of a regular file of bounded size as a value of `kind`; `what` is what messages call the file.

    Raises InputError, `hint` being what its message says to do.
    """
    end = f"; {hint}" if hint else ""
    try:
        return decoded(read_regular(path, what, MAX_JSON_BYTES), kind)
    except OSError as error:
        raise InputError(f"{what} must be readable: {path}: {error.strerror}") from None
    except ShapeError as error:
        raise InputError(f"{what} must {error.must}: {path} {error.has}{end}") from None


def decoded(content: bytes | str, kind: type[T]) -> T:
    """A value of `kind` from JSON text. Raises ShapeError."""
    try:
        msgspec.json.decode(content, type=msgspec.Raw)  # well formed as a whole, before anything is built of it
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise _misshapen(str(error), _plain(content)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ShapeError("be intact JSON", f"is not ({_short(str(error))})") from None


def shaped(data: Any, kind: type[T]) -> T:
    """The same from plain data, as a JSON text would hold it. Raises ShapeError."""
    try:
        return msgspec.convert(data, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _misshapen(str(error), data) from None


def _plain(content: bytes | str) -> Any:
    """What a text of reasonable length holds, whatever it is; None where that cannot be told."""
    try:
        return msgspec.json.decode(content) if len(content) <= MAX_SHOWN_BYTES else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _misshapen(words: str, data: Any) -> ShapeError:
    """The decoder's words in ours: where, what is expected there, and what is found in `data`, if it is there."""
    text, _, place = words.partition(" - at `$")
    place = place.rstrip("`")
    shown = _at(data, place)
    place = place.lstrip(".").replace("[...]", "[]")
    types = re.fullmatch(r"Expected `(.+)`, got `(.+)`", text)
    if types is not None:
        expected, got = (" or ".join(WORDS.get(word, word) for word in part.split(" | ")) for part in types.groups())
        found = got if shown is None else shown
        return ShapeError(f"hold {expected}{f' as {place}' * bool(place)}", f"has {found}", place, expected, found)
    missing = re.fullmatch(r"Object missing required field `(.+)`", text)
    if missing is not None:
        return ShapeError(f"hold {f'{place}.' * bool(place)}{missing[1]}", "does not", place)
    found = _short(text) if shown is None else shown
    return ShapeError(
        "hold what it is made for", f"has {place or 'something else'} wrong ({_short(text)})", place, None, found
    )


def _at(data: Any, place: str) -> str | None:
    """What stands there, as short JSON; None where that cannot be told."""
    for name, index in re.findall(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]", place):
        try:
            data = data[name] if name else data[int(index)]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    try:
        text = msgspec.json.encode(data).decode()
    except (TypeError, ValueError, RecursionError):
        return None
    return None if data is None and place == "" else text if len(text) <= 60 else f"{text[:40]}...{text[-17:]}"


def _short(text: str) -> str:
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]}..."
