"""The names that people choose from: those of the code that carries them out, each list in one place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from spikeloom.compiler import names
from spikeloom.compiler.estimate.choose_folding import Objective
from spikeloom.compiler.frontends.nir.dialects import DIALECTS, Reset, Tau
from spikeloom.compiler.ir.neurons import Fire
from spikeloom.compiler.ir.readout import ReadBy
from spikeloom.hdl.images.coding import Decoder, Encoder

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("offered", "known"),
    [
        (names.DIALECTS, DIALECTS),
        (names.TAUS, Tau),
        (names.RESETS, Reset),
        (names.FIRES, Fire),
        (names.READOUTS, ReadBy),
        (names.ENCODERS, Encoder),
        (names.DECODERS, Decoder),
        (names.OBJECTIVES, Objective),
    ],
)
def test_what_is_offered_is_what_is_known(offered: tuple[str, ...], known: Any) -> None:
    assert offered == tuple(known)


def lists_in(file: Path) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """The tuples, lists and sets of constants in a source file, but for those of a Literal type."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    types = {id(node.slice) for node in nodes if isinstance(node, ast.Subscript)}
    for node in nodes:
        if not isinstance(node, ast.Tuple | ast.List | ast.Set) or id(node) in types:
            continue
        if all(isinstance(element, ast.Constant) for element in node.elts):
            yield node.lineno, tuple(element.value for element in node.elts if isinstance(element, ast.Constant))


def test_each_list_stands_once() -> None:
    known = {value: name for name, value in vars(names).items() if isinstance(value, tuple) and len(value) > 1}
    files = [file for top in ("compiler", "sim", "benchmarks") for file in (ROOT / top).rglob("*.py")]
    again = [
        f"{file.relative_to(ROOT)}:{line} is names.{known[found]}"
        for file in files
        if file != ROOT / "compiler" / "names.py"
        for line, found in lists_in(file)
        if found in known
    ]
    assert again == []
