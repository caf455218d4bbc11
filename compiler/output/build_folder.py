"""The build folder: complete or absent, described by a manifest that depends on nothing but its contents.

A build is written into a hidden staging folder beside its target, on the same file system, and renamed at the end.
Whatever interrupts it, the target is either what it was before or the whole new build.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict

from ...hdl.errors import InputError, OptionError, plain
from ...hdl.files import open_regular, require_regular
from ...hdl.images.coding import ImageCoding
from ...hdl.json_files import ShapeError, read_json, shaped
from ...hdl.staging import exchange, replacement, staging_folder
from .system_folders import is_system_folder

MANIFEST = "manifest.json"
REPORT = "report.json"
NETWORK = "network.nir"
"""The integer network that was built."""
WEIGHTS = "weights.bin"
"""Weights in SPRAM as they must lie in the board's flash (`spikeloom.hdl.link.flash_loader`), where there are any."""
FLASH = "flash.bin"
"""The whole contents of that flash: bitstream and weights."""
SOURCE = "source.nir"
"""The network as it was read."""
FOLDING = "folding.json"
"""Which engine of the core runs which populations."""
NUMBERING = "numbering.json"
"""Which neurons of the network the core has, where it lacks some that never fire (`spikeloom.compiler.plan.lean`)."""
VERIFIED = "verified.json"
"""What regressions found of a build (`output.verified`): written later, so the manifest does not list it."""
LOGS = "logs"
"""The folder of the tools' own words: with times and paths in them, so the manifest does not list them."""

MANIFEST_SCHEMA = 1
MAX_OUTPUT_BYTES = 1 << 30
"""More than any file of a build."""
_MAX_INPUT_BYTES = 64 << 30


# ---------------------------------------------------------------------------------------------------- writing


def check_target(target: Path, *, force: bool = False) -> Path:
    """The absolute path of a build folder that may be written.

    An existing folder is refused unless `force`; a file, a folder that holds the home or the working directory, and a
    folder of the system always are. Raises OptionError.
    """
    target = Path(os.path.realpath(target))
    kept = (Path.cwd(), Path(os.path.realpath(Path.home())))
    if not target.name or any(place.is_relative_to(target) for place in kept):
        raise OptionError(f"the output must be a folder of its own: {target} holds the working or home directory")
    if target.is_dir():
        if is_system_folder(target) and not is_build(target):
            raise OptionError(f"the output must be a folder of its own: {target} is the system's; choose another")
        if not force:
            raise OptionError(f"the output folder must not exist yet: {target} does; use --force to replace it")
    elif target.exists():
        raise OptionError(f"the output must be a folder: {target} is a file")
    return target


@contextmanager
def staged(target: Path, *, force: bool = False) -> Iterator[Path]:
    """A folder to fill that becomes `target` when the block ends, and vanishes when the block raises.

    With `force`, an older build is replaced at that moment; a folder that is no build is kept as `NAME.old`. Where the
    file system exchanges names (all of Linux's own do), the old or the new folder has the target's name at every
    moment; elsewhere an older build is called `NAME.old` in between.
    Raises OptionError as `check_target` does.
    """
    target = check_target(target, force=force)
    target.parent.mkdir(parents=True, exist_ok=True)
    with staging_folder(target.parent) as staging:
        yield staging
        _put_in_place(staging, target, force)


def _put_in_place(staging: Path, target: Path, force: bool) -> None:
    try:
        staging.rename(target)  # which replaces an empty folder
        return
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
    check_target(target, force=force)  # somebody else may have made it meanwhile
    retired = free_name(target, ".old")
    if is_build(target):
        if exchange(staging, target):
            return  # the old build goes with the staging folder
        _rename_both(staging, target, retired)
        shutil.rmtree(retired, ignore_errors=True)
        return
    staging.rename(retired)
    if not exchange(retired, target):
        retired.rename(staging)
        _rename_both(staging, target, retired)


def _rename_both(staging: Path, target: Path, retired: Path) -> None:
    target.rename(retired)
    try:
        staging.rename(target)
    except BaseException:
        retired.rename(target)
        raise


def free_name(target: Path, suffix: str) -> Path:
    """The first of `NAME.old`, `NAME.old2`, ... beside `target` that nothing has, for the suffix `.old`."""
    candidate, number = target.with_name(target.name + suffix), 1
    while candidate.exists():
        number += 1
        candidate = target.with_name(f"{target.name}{suffix}{number}")
    return candidate


def check_file(path: Path, *, force: bool = True) -> None:
    """OptionError where no file can be written to `path`; for commands that work long before they write.

    A device is no file: it would be replaced by one. An existing file is refused unless `force`.
    """
    shown, path = path, Path(os.path.realpath(path))
    if path.is_dir():
        raise OptionError(f"the output must be a file: {path} is a folder")
    if not path.parent.is_dir():
        raise OptionError(f"the output's folder must exist: {path.parent} does not; make it")
    require_regular(path, "the output", OptionError)
    if path.exists() and not force:
        raise OptionError(f"the output is a new file: {shown} exists; add --force to replace it")


@contextmanager
def replaced(path: Path, *, force: bool = True) -> Iterator[Path]:
    """A temporary path of the same name that replaces `path` when the block ends without raising.

    Raises OptionError as `check_file` does.
    """
    check_file(path, force=force)
    with replacement(Path(os.path.realpath(path))) as temporary:
        yield temporary


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON in the order of the data: the same data are the same bytes."""
    path.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_manifest(
    folder: Path, *, inputs: Mapping[str, Path], options: Mapping[str, Any], tools: Mapping[str, str]
) -> None:
    """Describe a complete build in `manifest.json`.

    `inputs` are the files that the user gave, by role; `options` what was asked for, seeds included; `tools` versions
    by name. The manifest holds hashes of inputs and outputs, and neither times nor paths, so that the same inputs,
    options and versions give the same bytes.
    """
    manifest = {
        "schema_version": MANIFEST_SCHEMA,
        "inputs": {role: {"sha256": sha256(path, _MAX_INPUT_BYTES)} for role, path in inputs.items()},
        "options": dict(options),
        "outputs": {name: {"sha256": sha256(folder / name)} for name in sorted(_file_names(folder))},
        "tools": dict(tools),
    }
    write_json(folder / MANIFEST, manifest)


def _file_names(folder: Path) -> Iterator[str]:
    """Of all files that a manifest lists, or that it would have to."""
    for place, _, names in os.walk(folder):
        for name in (Path(place, name).relative_to(folder).as_posix() for name in names):
            if name not in (MANIFEST, VERIFIED) and not name.startswith(f"{LOGS}/"):
                yield name


def sha256(path: Path, max_bytes: int = MAX_OUTPUT_BYTES) -> str:
    """The SHA-256 of a regular file of at most `max_bytes`, in hexadecimal."""
    with open_regular(path, "a file of a build", max_bytes) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# ---------------------------------------------------------------------------------------------------- reading


AGAIN = "compile again"
"""What to do about a damaged build."""


class _Multipliers(TypedDict):
    dsps: int


class _Device(TypedDict):
    capacity: _Multipliers


class _Target(TypedDict, total=False):
    """As much of report.json as tells what the device has."""

    device: _Device | None


@dataclass(frozen=True, eq=False)
class BuildFolder:
    """A finished build, validated: its manifest is sound and every file that it lists is there."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def network_file(self) -> Path:
        """The integer network."""
        return self.path / NETWORK

    @property
    def source_file(self) -> Path:
        """The network as it was read."""
        return self.path / SOURCE

    @property
    def folding_file(self) -> Path:
        """Which engine of the core runs which populations (`read_folding`)."""
        return self.path / FOLDING

    @property
    def numbering_file(self) -> Path:
        """Which neurons the core has (`read_lean`); absent where it has all."""
        return self.path / NUMBERING

    @property
    def family(self) -> str:
        """The device family that the core was planned for."""
        return str(self.options.get("family", "ice40"))

    @property
    def has_dsp(self) -> bool:
        """Whether synthesis could use the device's multipliers."""
        device = read_json(self.path / REPORT, _Target, REPORT, AGAIN).get("device")
        return device is not None and device["capacity"]["dsps"] > 0

    @property
    def options(self) -> Mapping[str, Any]:
        """What the build was asked for."""
        return self.manifest["options"]

    @property
    def coding(self) -> ImageCoding | None:
        """How the device takes images; None where it takes spikes. Raises InputError for a damaged manifest."""
        found = self.options.get("coding")
        if found is None:
            return None
        try:
            return shaped(found, ImageCoding)
        except ShapeError as error:
            raise InputError(f"a manifest's coding must {error.must}: {self.path / MANIFEST} {error.has}") from None

    def report(self) -> dict[str, Any]:
        """The contents of `report.json`; raises InputError where it is damaged."""
        return read_json(self.path / REPORT, dict[str, Any], REPORT, AGAIN)

    def changed_files(self) -> tuple[str, ...]:
        """The outputs whose contents are not what the manifest says, in order."""
        outputs = self.manifest["outputs"]
        return tuple(name for name in sorted(outputs) if sha256(self.path / name) != outputs[name]["sha256"])


def is_build(folder: Path) -> bool:
    """Whether a folder is a build of ours, whole and with nothing else in it, by its manifest.

    Contents may have changed since.
    """
    try:
        outputs = load_build_folder(folder).manifest["outputs"]
    except InputError:
        return False
    return all(name in outputs for name in _file_names(folder))


def load_build_folder(path: str | Path) -> BuildFolder:
    """Open a build folder. Raises InputError where there is none, or where it is incomplete or damaged."""
    path = Path(path)
    if path.is_file():
        raise InputError(f"a build is a folder: {path} is a file; make one of it with spikeloom compile")
    if not path.is_dir():
        raise InputError(f"a build folder must exist: {path} does not; make one with spikeloom compile")
    if not (path / MANIFEST).is_file():
        raise InputError(f"a build folder must hold {MANIFEST}: {path} does not; make one with spikeloom compile")
    manifest = read_json(path / MANIFEST, dict[str, Any], MANIFEST, AGAIN)
    if manifest.get("schema_version") != MANIFEST_SCHEMA:
        raise InputError(
            f"the manifest's schema_version must be {MANIFEST_SCHEMA}: {path / MANIFEST} has "
            f"{manifest.get('schema_version')!r:.40}; compile again with this version of Spikeloom"
        )
    _check_manifest(path, manifest)
    return BuildFolder(path, manifest)


def _check_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    if not all(isinstance(manifest.get(key), dict) for key in ("inputs", "options", "outputs", "tools")):
        raise InputError(f"a manifest must hold inputs, options, outputs and tools: {path / MANIFEST} is damaged")
    outputs = manifest["outputs"]
    for name in (REPORT, NETWORK, SOURCE):
        if name not in outputs:
            raise InputError(f"a manifest must list {name}: {path / MANIFEST} does not; compile again")
    for name, entry in outputs.items():
        inside = not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
        if not inside or not isinstance(entry, dict) or not isinstance(entry.get("sha256"), str):
            raise InputError(f"a manifest must list files of its folder: {path / MANIFEST} has {name!a:.60}")
        if not (path / name).is_file():
            raise InputError(f"a build folder must be complete: {path / plain(name)} is missing; compile again")
