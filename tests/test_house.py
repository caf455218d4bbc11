"""The map of the house is the one that the imports draw, and its sizes are counted right."""

import ast
import importlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def house() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("house")


def test_the_committed_map_is_current(house: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert house.main(["--check"]) == 0, capsys.readouterr().out


def test_a_stale_map_is_named(
    house: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page, drawing = tmp_path / "house.md", tmp_path / "house.svg"
    page.write_text(house.PAGE.read_text("utf-8").replace("| `sim` |", "| `simulation` |"), "utf-8")
    monkeypatch.setattr(house, "PAGE", page)
    monkeypatch.setattr(house, "DRAWING", drawing)
    assert house.main(["--check"]) == 1
    assert capsys.readouterr().out == ("not current: house.md, house.svg; run python benchmarks/house.py --write\n")
    assert house.main(["--write"]) == house.main(["--check"]) == 0
    assert page.read_bytes() == (ROOT / "docs" / "house.md").read_bytes()
    assert drawing.read_bytes() == (ROOT / "docs" / "house.svg").read_bytes()


def test_rooms_stand_on_what_they_import(house: ModuleType) -> None:
    files = {
        "hdl/__init__.py": '"""Public names."""\nfrom .core import Core\n',
        "hdl/core.py": '"""The core.\n\nMore."""\nfrom .streams.tokens import Token\n',
        "hdl/streams/__init__.py": '"""Tokens."""\n',
        "hdl/streams/tokens.py": "Token = int\n",
        "compiler/ir/__init__.py": '"""Networks."""\n',
        "compiler/ir/network.py": "def later():\n    from ...hdl import core\n    from . import network\n",
        "boards/__init__.py": '"""Boards."""\nfrom ..hdl.streams import tokens\n',
        "boards/top.py": '"""The top."""\nimport math\nfrom .other import x\n',
        "tests/test_a.py": "from ..compiler.ir import network\n",
    }
    rooms = house.rooms_of({PurePosixPath(name): text for name, text in files.items()})
    assert [(room.name, room.purpose, sorted(room.imports)) for room in rooms] == [
        ("hdl/streams", "Tokens.", []),
        ("hdl/core", "The core.", ["hdl/streams"]),
        ("boards", "Boards.", ["hdl/streams"]),
        ("compiler/ir", "Networks.", ["hdl/core"]),
    ]
    assert house.listing(rooms).splitlines()[3] == "| `hdl/core` | The core | `hdl/streams` |"
    assert house.drawing(rooms).count("<circle") == 3


def test_rooms_that_import_each_other_are_named(house: ModuleType) -> None:
    files = {"hdl/a/x.py": "from ..b import y\n", "hdl/b/y.py": "from ..a.x import z\n", "hdl/c/z.py": ""}
    with pytest.raises(SystemExit, match=r"rooms import each other: hdl/a, hdl/b$"):
        house.rooms_of({PurePosixPath(name): text for name, text in files.items()})


def test_sizes_are_counted(house: ModuleType) -> None:
    long = "def f():\n" + "    x = 1\n" * 60
    short = "class A:\n    @property\n    def g(self):\n        def h():\n            return 1\n        return h\n"
    files = {"sim/a.py": long + short, "sim/b.py": "\n" * 401, "hdl/c/d.py": "x = 1\n", "sim/__init__.py": "\n" * 900}
    sizes = {entry.room: entry for entry in house.sizes_of({PurePosixPath(n): t for n, t in files.items()})}
    assert list(sizes) == ["hdl/c", "sim", "all"]
    lengths = {function.name: function.lines for function in sizes["all"].functions}
    assert lengths == {"f": 61, "g": 4, "h": 2} and sorted(sizes["all"].files.values()) == [1, 67, 401]
    rows = [line.split() for line in house.table(list(sizes.values())).splitlines()]
    assert rows[1] == ["hdl/c", "1", "1", "-", "0", "0"]
    assert rows[2] == ["sim", "2", "234", "4", "1", "1"] and rows[3] == ["all", "3", "67", "4", "1", "1"]
    assert rows[4:] == [["61", "lines:", "f", "in", "sim/a.py"], ["401", "lines:", "sim/b.py"]]


def test_what_is_long_is_little_and_says_why(house: ModuleType) -> None:
    texts = house.sources()
    sizes = house.sizes_of(texts)[-1]
    silent = [
        path
        for path in sizes.long_files
        if not re.search(r"long (as|for)", ast.get_docstring(ast.parse(texts[path])) or "")
    ]
    silent += [f.name for f in sizes.long_functions if not re.search(r"long (as|for)", f.docstring)]
    assert not silent, f"files over {house.LONG_FILE} lines and functions over {house.LONG_FUNCTION} say why"
    assert len(sizes.long_files) <= 3, f"at most three files are so long: {', '.join(map(str, sizes.long_files))}"
    assert len(sizes.long_functions) <= 4, f"at most four functions are so long: {sizes.long_functions}"


def test_any_revision_can_be_measured(house: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    if subprocess.run(("git", "rev-parse", "--verify", "HEAD"), cwd=ROOT, capture_output=True).returncode:
        pytest.skip("this copy is no git repository")
    assert house.main(["HEAD"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "HEAD" and any(line.startswith("compiler/ir ") for line in lines)
    with pytest.raises(SystemExit, match=r"house.py: git ls-tree failed: .*no-such-revision"):
        house.main(["no-such-revision"])
