"""The database of a search: a SQLite file of ours, new or known, and nobody else's."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from spikeloom.compiler.optimizer.database import APPLICATION, Database
from spikeloom.hdl.errors import InputError


def test_rows_survive(tmp_path: Path) -> None:
    path = tmp_path / "search.sqlite"
    for _ in range(2):
        with Database(path) as rows:
            rows.put("key", {"a": 1}, b"blob")
            found = rows.get("key")
            assert found is not None and found[1] == b"blob" and len(rows) == 1


@pytest.mark.parametrize(
    "statement",
    ["PRAGMA application_id = 252006673", "PRAGMA user_version = 7", "CREATE TABLE theirs (x)"],
)
def test_a_foreign_database_is_left_alone(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "theirs.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    before = path.read_bytes()
    with pytest.raises(InputError) as caught:
        Database(path)
    assert str(caught.value) == (
        f"a search's database is a file of its own: {path} cannot serve (it holds something else); "
        "name another --database"
    )
    assert path.read_bytes() == before


def test_a_later_schema_of_ours_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "later.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(InputError, match="it holds something else"):
        Database(path)
