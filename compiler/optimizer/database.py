"""Finished work in a small SQLite file, so that an interrupted search resumes and nothing is computed twice.

A row is an outcome or a measurement under the fingerprint of all that it depends on, the package's version included;
another network, other data or other options give other keys, so one file may serve many searches. What is read back is
data (JSON and a NIR file that is read as hostile input), never code.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Any

from ...hdl.errors import InputError
from ...hdl.files import require_regular

APPLICATION = 0x5350_4C4D
"""SQLite's application_id of our files ("SPLM"): others are left alone."""

SCHEMA = 1

MAX_VALUE_BYTES = 1 << 28
"""The longest value of a row that is read or written."""


class Database:
    """Rows of JSON with an optional blob, by key. Without a path they live in memory and end with the process.

    Raises InputError where the file is not such a database, or cannot be opened or written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        try:
            if path is not None:
                require_regular(path, "it")
                path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(":memory:" if path is None else path, timeout=30, isolation_level=None)
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
            self._prepare()
        except (sqlite3.Error, OSError, InputError) as error:
            raise self._refused(str(error)) from None

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def get(self, key: str) -> tuple[str, bytes] | None:
        """The JSON text and the blob that were stored under a key, or None."""
        try:
            row = self._connection.execute("SELECT value, blob FROM finished WHERE key = ?", (key,)).fetchone()
            return None if row is None else (str(row[0]), bytes(row[1]))
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise self._refused(str(error)) from None

    def put(self, key: str, value: dict[str, Any], blob: bytes = b"") -> None:
        """Store; an older row of that key is replaced."""
        try:
            row = (key, json.dumps(value), blob)
            self._connection.execute("INSERT OR REPLACE INTO finished (key, value, blob) VALUES (?, ?, ?)", row)
        except sqlite3.Error as error:
            raise self._refused(str(error)) from None

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM finished").fetchone()[0])

    def _prepare(self) -> None:
        """Make a new file ours, or check that it is."""
        application = self._connection.execute("PRAGMA application_id").fetchone()[0]
        tables = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        new = not (tables or application or version)
        if not new and (application, version) != (APPLICATION, SCHEMA):
            raise sqlite3.DatabaseError("it holds something else")
        self._connection.execute(f"PRAGMA application_id = {APPLICATION}")
        self._connection.execute(f"PRAGMA user_version = {SCHEMA}")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS finished (key TEXT PRIMARY KEY, value TEXT NOT NULL, blob BLOB NOT NULL)"
        )

    def _refused(self, reason: str) -> InputError:
        return InputError(
            f"a search's database is a file of its own: {self._path} cannot serve ({reason}); name another --database"
        )
