"""The house: how large its rooms are, and who imports whom.

    python benchmarks/house.py                    sizes of the working tree, room by room
    python benchmarks/house.py REVISION ...       the same of any git revisions, one table each
    python benchmarks/house.py --write            docs/house.md and docs/house.svg anew, from the imports
    python benchmarks/house.py --check            whether these two are current

A room is a folder of the package, at most two deep; in the map a file of `hdl/` or `compiler/` itself is a room too.
Lengths are lines, of functions from `def` to the last line of the body, methods and inner functions included.
"""

from __future__ import annotations

import argparse
import ast
import io
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
HOUSE = ("hdl", "boards", "compiler", "sim")
ALSO_SIZED = ("benchmarks", "examples")
LONG_FUNCTION, LONG_FILE = 60, 400
PAGE, DRAWING = ROOT / "docs" / "house.md", ROOT / "docs" / "house.svg"
BEGIN, END = "<!-- rooms: benchmarks/house.py --write -->", "<!-- end of rooms -->"


# --------------------------------------------------------------------------------------------------- reading


def sources(revision: str | None = None) -> dict[PurePosixPath, str]:
    """The Python files by path: of a git revision, else of the working tree."""
    folders = (*HOUSE, *ALSO_SIZED)
    if revision is None:
        files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
        texts = {file.relative_to(ROOT).as_posix(): file.read_text("utf-8") for file in files}
    else:
        names = _git("ls-tree", "-r", "-z", "--name-only", revision, "--", *folders).decode().split("\0")
        names = [name for name in names if name.endswith(".py")]
        texts = dict(zip(names, _blobs([f"{revision}:{name}" for name in names]), strict=True))
    return {PurePosixPath(name): text for name, text in sorted(texts.items())}


def _blobs(names: Sequence[str]) -> Iterator[str]:
    """The contents of files in revisions, from one git: each is a line that ends with its length, and so many bytes."""
    found = io.BytesIO(_git("cat-file", "--batch", stdin="\n".join(names).encode()))
    for _ in names:
        yield found.read(int(found.readline().split()[-1])).decode()
        found.readline()


def _git(*arguments: str, stdin: bytes = b"") -> bytes:
    result = subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, input=stdin)
    if result.returncode:
        raise SystemExit(f"house.py: git {arguments[0]} failed: {result.stderr.decode().strip()}")
    return result.stdout


# ----------------------------------------------------------------------------------------------------- sizes


@dataclass(frozen=True)
class Function:
    """A function, where it stands, how long it is and what it says of itself."""

    path: PurePosixPath
    name: str
    lines: int
    docstring: str = ""


@dataclass(frozen=True)
class Sizes:
    """One room, or all: the lengths of its files and functions."""

    room: str
    files: Mapping[PurePosixPath, int]
    functions: Sequence[Function]

    @property
    def long_files(self) -> dict[PurePosixPath, int]:
        return {path: lines for path, lines in self.files.items() if lines > LONG_FILE}

    @property
    def long_functions(self) -> list[Function]:
        return [function for function in self.functions if function.lines > LONG_FUNCTION]


def sizes_of(texts: Mapping[PurePosixPath, str]) -> list[Sizes]:
    """The sizes of every folder, two deep, and of all together; files that only name a package do not count."""
    rooms: dict[str, dict[PurePosixPath, str]] = {}
    for path, text in texts.items():
        if path.name != "__init__.py":
            rooms.setdefault("/".join(path.parts[:-1][:2]), {})[path] = text
    whole = {path: text for room in rooms.values() for path, text in room.items()}
    return [_sizes(name, room) for name, room in (*sorted(rooms.items()), ("all", whole))]


def _sizes(room: str, texts: Mapping[PurePosixPath, str]) -> Sizes:
    functions = [function for path, text in texts.items() for function in _functions(path, text)]
    return Sizes(room, {path: len(text.splitlines()) for path, text in texts.items()}, functions)


def _functions(path: PurePosixPath, text: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield Function(path, node.name, node.end_lineno - node.lineno + 1, ast.get_docstring(node) or "")


def table(sizes: Sequence[Sizes]) -> str:
    """The sizes as text, with the longest functions and files by name."""
    head = ("room", "files", "median file", "median function", f"functions > {LONG_FUNCTION}", f"files > {LONG_FILE}")
    rows = [head, *(_row(entry) for entry in sizes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(c.ljust(w) if not n else c.rjust(w) for n, (c, w) in enumerate(zip(r, widths, strict=True)))
        for r in rows
    ]
    whole = sizes[-1]
    lines += [
        f"  {f.lines:4} lines: {f.name} in {f.path}" for f in sorted(whole.long_functions, key=lambda f: -f.lines)
    ]
    lines += [f"  {n:4} lines: {path}" for path, n in sorted(whole.long_files.items(), key=lambda item: -item[1])]
    return "\n".join(lines)


def _row(entry: Sizes) -> tuple[str, ...]:
    lengths = [function.lines for function in entry.functions]
    return (
        entry.room,
        str(len(entry.files)),
        f"{statistics.median(entry.files.values()):g}",
        f"{statistics.median(lengths):g}" if lengths else "-",
        str(len(entry.long_functions)),
        str(len(entry.long_files)),
    )


# ------------------------------------------------------------------------------------------------------- map


@dataclass(frozen=True)
class Room:
    """A room: what its first line says that it is for, and the rooms that it imports."""

    name: str
    purpose: str
    imports: frozenset[str]


def rooms_of(texts: Mapping[PurePosixPath, str]) -> list[Room]:
    """The rooms of the house from the ground up: each after all that it imports, else by name."""
    house = {path: text for path, text in texts.items() if path.parts[0] in HOUSE}
    purposes: dict[str, str] = {}
    imports: dict[str, set[str]] = {}
    for path, text in house.items():
        room = room_of(path, house)
        if room is None:
            continue
        tree = ast.parse(text)
        imports.setdefault(room, set()).update(_imported_rooms(path, tree, house))
        if room == (path.parent if path.name == "__init__.py" else path.with_suffix("")).as_posix():
            purposes[room] = (ast.get_docstring(tree) or "").split("\n")[0]
    rooms = [Room(name, purposes.get(name, ""), frozenset(found - {name})) for name, found in imports.items()]
    return _from_the_ground(rooms)


def room_of(path: PurePosixPath, house: Mapping[PurePosixPath, str]) -> str | None:
    """The room of a file. None for the lists of public names, which belong to nobody."""
    whole = path.parts[0] in ("boards", "sim")
    if whole:
        return path.parts[0]
    if len(path.parts) == 2:
        return None if path.stem == "__init__" else f"{path.parts[0]}/{path.stem}"
    return "/".join(path.parts[:2])


def _imported_rooms(path: PurePosixPath, tree: ast.Module, house: Mapping[PurePosixPath, str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parent
            for _ in range(node.level - 1):
                base = base.parent
            base = base.joinpath(*(node.module or "").split(".")) if node.module else base
            for alias in node.names:
                for file in (
                    base / alias.name / "__init__.py",
                    base / f"{alias.name}.py",
                    base.with_suffix(".py"),
                    base / "__init__.py",
                ):
                    if file in house:
                        room = room_of(file, house)
                        if room is not None:
                            yield room
                        break


def _from_the_ground(rooms: Sequence[Room]) -> list[Room]:
    order: list[Room] = []
    waiting = sorted(rooms, key=lambda room: (HOUSE.index(room.name.split("/")[0]), room.name))
    while waiting:
        placed = {room.name for room in order}
        ready = next((room for room in waiting if room.imports <= placed), None)
        if ready is None:
            raise SystemExit(f"house.py: rooms import each other: {', '.join(room.name for room in waiting)}")
        order.append(ready)
        waiting.remove(ready)
    return order


CELL, LABEL, TOP = 18, 150, 132
INK, LINE, SHADE, MARK = "#24292f", "#d0d7de", "#f0f3f6", "#0969da"


def drawing(rooms: Sequence[Room]) -> str:
    """The map as SVG: a mark where the row's room imports the column's; the rooms stand from the ground up."""
    size = CELL * len(rooms)
    width, height = LABEL + size + 10, TOP + size + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}">',
        "<title>Which room imports which, from the ground floor to the roof</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, room in enumerate(rooms):
        start, middle = CELL * number, CELL * number + CELL // 2
        parts += [
            f'<rect x="{LABEL + start}" y="{TOP + start}" width="{CELL}" height="{CELL}" fill="{SHADE}"/>',
            f'<path d="M{LABEL} {TOP + start}h{size}M{LABEL + start} {TOP}v{size}" stroke="{LINE}"/>',
            f'<text x="{LABEL - 6}" y="{TOP + middle + 4}" text-anchor="end">{room.name}</text>',
            f'<text transform="translate({LABEL + middle + 4} {TOP - 6}) rotate(-90)">{room.name}</text>',
        ]
        for column, other in enumerate(rooms):
            if other.name in room.imports:
                x, y = LABEL + CELL * column + CELL // 2, TOP + middle
                parts.append(f'<circle cx="{x}" cy="{y}" r="5" fill="{MARK}"/>')
    parts += [f'<rect x="{LABEL}" y="{TOP}" width="{size}" height="{size}" fill="none" stroke="{LINE}"/>', "</svg>"]
    return "\n".join(parts) + "\n"


def listing(rooms: Sequence[Room]) -> str:
    """The rooms as a table of the page."""
    lines = ["| room | what it is for | imports |", "|---|---|---|"]
    order = {room.name: number for number, room in enumerate(rooms)}
    for room in rooms:
        imports = ", ".join(f"`{name}`" for name in sorted(room.imports, key=order.__getitem__))
        lines.append(f"| `{room.name}` | {room.purpose.rstrip('.')} | {imports} |")
    return "\n".join(lines)


def current(rooms: Sequence[Room], page: str) -> dict[Path, str]:
    """What page and drawing should hold; the page's own words stay."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or END not in page:
        raise SystemExit(f"house.py: {PAGE.name} has a table between {BEGIN!r} and {END!r}: it has none")
    return {PAGE: f"{before}{BEGIN}\n{listing(rooms)}\n{END}{after}", DRAWING: drawing(rooms)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Sizes of the rooms, and the map of who imports whom.")
    parser.add_argument("revisions", nargs="*", help="git revisions to measure in place of the working tree")
    parser.add_argument("--write", action="store_true", help="write docs/house.md and docs/house.svg anew")
    parser.add_argument("--check", action="store_true", help="fail where these two are not current")
    options = parser.parse_args(arguments)
    if options.write or options.check:
        wanted = current(rooms_of(sources()), PAGE.read_text("utf-8"))
        stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text("utf-8") != text]
        if options.write:
            for path in stale:
                path.write_text(wanted[path], "utf-8")
        elif stale:
            print(f"not current: {', '.join(path.name for path in stale)}; run python benchmarks/house.py --write")
            return 1
        return 0
    for revision in options.revisions or [None]:
        print(f"{revision or 'working tree'}\n{table(sizes_of(sources(revision)))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
