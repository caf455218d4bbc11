"""docs/adding_a_neuron.md names every file that tells neuron models apart or knows the field of its example."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from spikeloom.compiler.ir.neurons import MODELS, Kind

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "docs" / "adding_a_neuron.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([\w/]+\.py)`", GUIDE))

FIELD = {"v_min", "has_floor", "v_min_bits"}
"""The example of the guide, and what the hardware calls it."""


OTHERS = {"rho", "jump", "decay_a", "max_spikes"}
"""Fields that took the same road."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    for room in ("compiler", "hdl", "sim"):
        for file in sorted((ROOT / room).rglob("*.py")):
            yield file.relative_to(ROOT).as_posix(), ast.parse(file.read_text(encoding="utf-8"))


def identifiers(tree: ast.Module) -> set[str]:
    """Names, attributes, keywords and short strings."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)) | ast.arg(arg=name):
                found.add(name)
            case ast.Constant(value=str(text)):
                found.add(text)
    return found


def models_told_apart(tree: ast.Module) -> bool:
    """Whether a file names single neuron models in its code."""
    classes = {model.dynamics.__name__ for model in MODELS.values()}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) if name in classes:
                return True
            case ast.Attribute(value=ast.Name(id="Kind"), attr=name) if name in Kind.__members__:
                return True
    return False


def test_the_files_that_it_names_are_there() -> None:
    assert len(NAMED) > 15
    assert [name for name in sorted(NAMED) if not (ROOT / name).is_file()] == []


def test_it_names_every_file_that_tells_models_apart() -> None:
    assert [name for name, tree in sources() if models_told_apart(tree) and name not in NAMED] == []


def test_it_names_every_file_that_knows_the_field_of_its_example() -> None:
    knowing = {name for name, tree in sources() if identifiers(tree) & FIELD}
    assert sorted(knowing - NAMED) == []
    assert sorted({name for name, tree in sources() if identifiers(tree) & OTHERS} - NAMED) == []
    road = GUIDE.split("## The road")[1].split("## Where")[0]
    on_the_road = set(re.findall(r"`((?:compiler|sim|hdl)/[\w/]+\.py)`", road.split("Files keep")[0]))
    assert sorted(on_the_road - knowing) == []
