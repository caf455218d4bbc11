"""JSON that others wrote: what is not of its type ends in one short line."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import pytest
from spikeloom.hdl.errors import InputError
from spikeloom.hdl.files import MAX_JSON_BYTES
from spikeloom.hdl.json_files import ShapeError, decoded, read_json, shaped


class Part(TypedDict):
    name: str
    numbers: dict[str, list[float]]


@dataclass(frozen=True)
class Whole:
    count: int
    parts: tuple[Part, ...] = ()
    on: bool | None = None


def test_values_have_their_types() -> None:
    found = decoded('{"count": 3, "parts": [{"name": "a", "numbers": {"x": [1, 2.5]}, "other": 1}], "on": null}', Whole)
    assert found == Whole(3, ({"name": "a", "numbers": {"x": [1, 2.5]}},))
    assert shaped({"count": 3}, Whole) == Whole(3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x must be intact JSON: FILE is not (Input data was truncated); do it"),
        ('{"count": 3', "x must be intact JSON: FILE is not (Input data was truncated); do it"),
        ("[" * 100_000, "x must be intact JSON: FILE is not (maximum recursion depth exceeded"),
        ('{"count": ' + "[" * 100_000 + "]" * 100_000 + "}", "x must be intact JSON: FILE is not (maximum recursion"),
        (
            '{"count": NaN}',
            "x must be intact JSON: FILE is not (JSON is malformed: invalid character (byte 10))",
        ),
        (
            '{"count": 3} {}',
            "x must be intact JSON: FILE is not (JSON is malformed: trailing characters",
        ),
        ("[]", "x must hold an object: FILE has []; do it"),
        ("{}", "x must hold count: FILE does not; do it"),
        ('{"count": true}', "x must hold a whole number as count: FILE has true; do it"),
        ('{"count": 3.5}', "x must hold a whole number as count: FILE has 3.5; do it"),
        ('{"count": 1e999}', "x must hold what it is made for: FILE has count wrong (Number out of range); do it"),
        ('{"count": 3, "on": "yes"}', 'x must hold true or false or null as on: FILE has "yes"; do it'),
        ('{"count": 3, "parts": [{"name": "a"}]}', "x must hold parts[0].numbers: FILE does not; do it"),
        (
            '{"count": 3, "parts": [{"name": "a", "numbers": {"' + "k" * 10_000 + '": [1, []]}}]}',
            "x must hold a number as parts[0].numbers[][1]: FILE has a list; do it",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_short_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        read_json(file, Whole, "x", "do it")
    line = str(caught.value).replace(str(file), "FILE")
    assert line.startswith(message) and "\n" not in line and len(line) < 250


def test_numbers_are_finite_everywhere() -> None:
    for text in ("[1e999]", "[-1e999]", "[Infinity]"):
        with pytest.raises(ShapeError):
            decoded(text, list[Any])
        with pytest.raises(ShapeError):
            decoded(text, list[float])


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(b'{"count": "\xff\xfe"}')
    with pytest.raises(InputError, match="x must "):
        read_json(file, Whole, "x")


def test_other_files_than_regular_and_bounded_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x must be readable: .*: No such file or directory"):
        read_json(tmp_path / "none.json", Whole, "x")
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(InputError, match=r"x must be a regular file: .* is a pipe"):
        read_json(tmp_path / "pipe.json", Whole, "x")
    with (tmp_path / "long.json").open("wb") as file:
        file.truncate(MAX_JSON_BYTES + 1)
    with pytest.raises(InputError, match="x may hold at most 67,108,864 bytes"):
        read_json(tmp_path / "long.json", Whole, "x")
