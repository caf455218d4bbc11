"""Build folders: complete or absent, replaced only on request, and validated when they are opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from spikeloom.compiler.output.build_folder import check_target, load_build_folder, replaced, staged, write_manifest
from spikeloom.hdl.errors import InputError, OptionError


def fill(folder: Path, model: Path, text: str = "core") -> None:
    (folder / "core.v").write_text(text)
    (folder / "network.nir").write_bytes(b"network")
    (folder / "source.nir").write_bytes(b"source")
    (folder / "report.json").write_text('{"schema_version": 1}')
    (folder / "logs").mkdir()
    (folder / "logs" / "yosys.log").write_text(f"took 1 s in {folder}")
    write_manifest(folder, inputs={"model": model}, options={"bits": 4, "seed": 1}, tools={"yosys": "0.70"})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.nir"
    path.write_bytes(b"model")
    return path


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ["out", "with space", "Größe 網 — ütf", "a'b\"c;d$(e)"])
def test_a_finished_build_appears_whole(tmp_path: Path, model: Path, name: str) -> None:
    target = tmp_path / "new" / name
    with staged(target) as staging:
        assert staging.parent == target.parent and not target.exists()
        fill(staging, model)
        assert not target.exists()
    build = load_build_folder(target)
    assert sorted(build.manifest["outputs"]) == ["core.v", "network.nir", "report.json", "source.nir"]
    assert build.options == {"bits": 4, "seed": 1}
    assert build.report() == {"schema_version": 1}
    assert build.changed_files() == () and not hidden(target.parent)
    assert (build.network_file.read_bytes(), build.source_file.read_bytes()) == (b"network", b"source")
    assert build.family == "ice40"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, OSError, OptionError])
@pytest.mark.parametrize("existing", [False, True])
def test_an_interrupted_build_leaves_what_was_there(
    tmp_path: Path, model: Path, interruption: type[BaseException], existing: bool
) -> None:
    target = tmp_path / "out"
    if existing:
        with staged(target) as staging:
            fill(staging, model, "old")
    with pytest.raises(interruption), staged(target, force=True) as staging:
        fill(staging, model, "new")
        raise interruption
    assert not hidden(tmp_path)
    assert target.exists() == existing
    if existing:
        assert load_build_folder(target).changed_files() == ()
        assert (target / "core.v").read_text() == "old"


def test_an_existing_folder_is_kept_without_force(tmp_path: Path, model: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(OptionError, match=r"must not exist yet.*--force"), staged(target):
        pass
    target.rmdir()
    with pytest.raises(OptionError, match="must not exist yet"), staged(target) as staging:
        fill(staging, model)
        target.mkdir()
        (target / "theirs").write_text("kept")
    assert (target / "theirs").read_text() == "kept" and not hidden(tmp_path)


def test_force_replaces_a_build_at_the_end(tmp_path: Path, model: Path) -> None:
    target = tmp_path / "out"
    for text in ("old", "new"):
        with staged(target, force=True) as staging:
            fill(staging, model, text)
            assert not target.exists() or (target / "core.v").read_text() == "old"
    assert (target / "core.v").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.nir", "out"]


def test_force_keeps_a_folder_that_is_no_build_under_another_name(tmp_path: Path, model: Path) -> None:
    target = tmp_path / "out"
    for number in range(2):
        target.mkdir()
        (target / "thesis.tex").write_text(f"precious {number}")
        with staged(target, force=True) as staging:
            fill(staging, model)
        target.rename(tmp_path / f"done{number}")
    assert (tmp_path / "out.old" / "thesis.tex").read_text() == "precious 0"
    assert (tmp_path / "out.old2" / "thesis.tex").read_text() == "precious 1"


def test_a_failing_rename_restores_the_old_build(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out"
    with staged(target) as staging:
        fill(staging, model, "old")
    rename = Path.rename

    def failing(source: Path, destination: Path) -> Path:
        if destination == target and not source.name.endswith(".old"):
            raise OSError("disk on fire")
        return rename(source, destination)

    with pytest.raises(OSError, match="fire"), staged(target, force=True) as staging:
        fill(staging, model, "new")
        monkeypatch.setattr(Path, "rename", failing)
    assert (target / "core.v").read_text() == "old" and not hidden(tmp_path)


def test_targets_that_are_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "here")
    file = tmp_path / "file"
    file.write_text("kept")
    for target in (Path("/"), Path.home(), Path(), Path(".."), tmp_path / "work"):
        with pytest.raises(OptionError, match="folder of its own"):
            check_target(target, force=True)
    with pytest.raises(OptionError, match="is a file"):
        check_target(file, force=True)


def test_the_same_contents_give_the_same_manifest(tmp_path: Path, model: Path) -> None:
    manifests = []
    for name in ("one", "two"):
        with staged(tmp_path / name) as staging:
            fill(staging, model)
        manifests.append((tmp_path / name / "manifest.json").read_bytes())
    assert manifests[0] == manifests[1]
    assert str(tmp_path).encode() not in manifests[0] and b"logs" not in manifests[0]


def test_changed_files_are_named(tmp_path: Path, model: Path) -> None:
    with staged(tmp_path / "out") as staging:
        fill(staging, model)
    (tmp_path / "out" / "core.v").write_text("edited")
    assert load_build_folder(tmp_path / "out").changed_files() == ("core.v",)


def damaged(manifest: dict[str, Any], **changes: Any) -> str:
    return json.dumps(manifest | changes)


SOUND: dict[str, Any] = {
    "schema_version": 1,
    "inputs": {},
    "options": {},
    "tools": {},
    "outputs": {name: {"sha256": ""} for name in ("report.json", "network.nir", "source.nir")},
}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "must hold manifest.json"),
        ("", "must be intact JSON"),
        ("{", "must be intact JSON"),
        ("[" * 100_000, "must be intact JSON"),
        ("[]", "must hold an object"),
        ("{}", "schema_version must be 1.*has None"),
        (damaged(SOUND, schema_version=99), "schema_version must be 1.*has 99"),
        (damaged(SOUND, outputs=[]), "is damaged"),
        (damaged(SOUND, outputs={}), "must list report.json"),
        (damaged(SOUND, outputs=SOUND["outputs"] | {"core.v": {"sha256": ""}}), "core.v is missing"),
        (damaged(SOUND, outputs=SOUND["outputs"] | {"../x": {"sha256": ""}}), "files of its folder"),
        (damaged(SOUND, outputs=SOUND["outputs"] | {"/etc/passwd": {"sha256": ""}}), "files of its folder"),
        (damaged(SOUND, outputs=SOUND["outputs"] | {"core.v": 3}), "files of its folder"),
    ],
)
def test_damaged_build_folders_are_refused_in_one_line(tmp_path: Path, text: str | None, message: str) -> None:
    for name in ("report.json", "network.nir", "source.nir"):
        (tmp_path / name).write_text("{}")
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_build_folder(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_build_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must exist"):
        load_build_folder(tmp_path / "nothing")


def test_a_file_is_replaced_atomically(tmp_path: Path) -> None:
    path = tmp_path / "out.npz"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replaced(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with replaced(path) as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".npz" and path.read_text() == "old"
    assert path.read_text() == "new" and not hidden(tmp_path)
    with pytest.raises(OptionError, match="is a folder"), replaced(tmp_path):
        pass
    with pytest.raises(OptionError, match="folder must exist"), replaced(tmp_path / "none" / "out.npz"):
        pass
