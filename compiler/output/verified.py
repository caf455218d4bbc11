"""What a regression found of a build, kept in its folder: which samples, at which level, when, and with what result.

The file is no output of the build: its manifest does not list it, and it holds for that very manifest alone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from ...hdl.errors import InputError
from ...hdl.json_files import read_json
from .build_folder import AGAIN, MANIFEST, VERIFIED, BuildFolder, replaced, sha256, write_json

VERIFIED_SCHEMA = 1

MAX_SAMPLES_BYTES = 64 << 30

MOST_RECORDS = 50
"""The latest that are kept."""


class Verification(TypedDict):
    """One run: at a `level` by a `simulator` on `samples` of `steps` from a file of that hash; `compared` values were
    held against the reference, and all were `equal` or the first `difference` says where not. `when` is in UTC."""

    level: str
    simulator: str
    samples: int
    steps: int
    samples_sha256: str
    compared: int
    equal: bool
    difference: str | None
    when: str


class _Records(TypedDict):
    schema_version: int
    manifest_sha256: str
    runs: list[Verification]


def now() -> str:
    """The time as records have it."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def verifications(build: BuildFolder) -> list[Verification]:
    """What was found of this very build, the latest last; nothing where a file is of another, or damaged."""
    try:
        records = read_json(build.path / VERIFIED, _Records, VERIFIED, AGAIN)
    except (InputError, FileNotFoundError):
        return []
    if records["schema_version"] != VERIFIED_SCHEMA or records["manifest_sha256"] != _manifest(build.path):
        return []
    return records["runs"]


def keep_verification(build: BuildFolder, found: Verification) -> None:
    """Add what was found; of equal samples, level and simulator the latest stays. Raises OSError, OptionError."""
    key = ("level", "simulator", "samples", "samples_sha256")
    others = [run for run in verifications(build) if any(run[part] != found[part] for part in key)]  # type: ignore[literal-required]
    records = {
        "schema_version": VERIFIED_SCHEMA,
        "manifest_sha256": _manifest(build.path),
        "runs": [*others, found][-MOST_RECORDS:],
    }
    with replaced(build.path / VERIFIED) as temporary:
        write_json(temporary, records)


def _manifest(folder: Path) -> str:
    return sha256(folder / MANIFEST)
