"""Build folders: complete or absent, replaced only on request, and validated when they are opened."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from spikeloom.compiler.output import build_folder
from spikeloom.compiler.output.build_folder import check_target, load_build_folder, replaced, staged, write_manifest
from spikeloom.compiler.output.system_folders import is_system_folder
from spikeloom.hdl.errors import InputError, OptionError
from spikeloom.hdl.staging import scratch_folder


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


WEB_APP = {"manifest.json": '{"name": "shop", "icons": []}', "index.html": "<p>precious", "src/shop.js": "precious()"}


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("theirs", ["web app", "file more", "folder more", "file less", "another schema"])
def test_a_manifest_of_another_kind_proves_no_build(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, theirs: str, exchanges: bool
) -> None:
    target = tmp_path / "out"
    if theirs == "web app":
        for name, text in WEB_APP.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_text(text)
    else:
        with staged(target) as staging:
            fill(staging, model, "old")
        changes: dict[str, Callable[[], object]] = {
            "file more": lambda: (target / "notes.md").write_text("precious"),
            "folder more": lambda: (target / "mine").mkdir() or (target / "mine" / "link").symlink_to("nowhere"),
            "file less": lambda: (target / "core.v").unlink(),
            "another schema": lambda: (target / "manifest.json").write_text('{"schema_version": 9}'),
        }
        changes[theirs]()
    before = sorted(path.relative_to(target) for path in target.rglob("*"))
    if not exchanges:
        monkeypatch.setattr(build_folder, "exchange", lambda one, other: False)
    with staged(target, force=True) as staging:
        fill(staging, model, "new")
    kept = tmp_path / "out.old"
    assert sorted(path.relative_to(kept) for path in kept.rglob("*")) == before
    assert (target / "core.v").read_text() == "new" and not hidden(tmp_path)


def test_an_edited_build_and_an_empty_folder_are_replaced(tmp_path: Path, model: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    for _ in range(2):
        with staged(target, force=True) as staging:
            fill(staging, model)
        (target / "core.v").write_text("edited")
        (target / "logs" / "more.log").write_text("a log")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.nir", "out"]


def killed_at(moment: int, work: Callable[[], None]) -> bool:
    """Run in a process that kills itself at the `moment`-th thing it asks the file system for; whether it did."""
    child = os.fork()
    if child == 0:
        left = moment
        status = 1
        with suppress(BaseException):

            def hook(event: str, _: object) -> None:
                nonlocal left
                if event.startswith(("os.", "open", "shutil.", "ctypes.dlopen", "fcntl.")):
                    left -= 1
                    if left == -1:  # once: os.kill is such a thing itself
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(hook)
            work()
            status = 0
        os._exit(status)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("ours", [True, False])
def test_at_every_moment_a_killed_process_leaves_the_old_or_the_new(tmp_path: Path, model: Path, ours: bool) -> None:
    target, found = tmp_path / "out", set()
    for moment in range(1000):
        shutil.rmtree(target, ignore_errors=True)
        with staged(target) as staging:
            fill(staging, model, "old")
        if not ours:
            (target / "thesis.tex").write_text("precious")

        def build() -> None:
            with staged(target, force=True) as staging:
                fill(staging, model, "new")

        killed = killed_at(moment, build)
        text = load_build_folder(target).path.joinpath("core.v").read_text()
        found.add(text)
        kept = [path for path in (target, *tmp_path.glob("out.old*")) if (path / "thesis.tex").exists()]
        assert len(kept) == (not ours) and all((path / "thesis.tex").read_text() == "precious" for path in kept)
        with staged(tmp_path / "next") as staging:
            fill(staging, model)
        assert not hidden(tmp_path)
        for path in (tmp_path / "next", *tmp_path.glob("out.old*")):
            shutil.rmtree(path)
        if not killed:
            break
    assert found == {"old", "new"} and text == "new" and moment > 20


def test_the_scratch_folders_of_the_dead_are_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    child = os.fork()
    if child == 0:
        with scratch_folder() as folder:
            (folder / "yowasp_x").mkdir()
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(hidden(tmp_path)) == 1
    with scratch_folder() as folder:
        assert hidden(tmp_path) == [folder.name] and folder.stat().st_mode & 0o777 == 0o700
    assert hidden(tmp_path) == []


def test_the_staging_folders_of_the_living_are_left_alone(tmp_path: Path, model: Path) -> None:
    mine = tmp_path / ".spikeloom-notes"
    mine.mkdir()
    with staged(tmp_path / "one") as first:
        with staged(tmp_path / "two") as second:
            fill(second, model)
        fill(first, model)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".spikeloom-notes", "model.nir", "one", "two"]


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


SYSTEM = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/etc/ssl",
    "/home",
    "/lib",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/srv",
)
SYSTEM += ("/sys", "/tmp", "/usr", "/usr/lib", "/usr/local", "/var", "/var/lib", "/var/log")


@pytest.mark.parametrize("name", [name for name in SYSTEM if Path(name).is_dir()])
@pytest.mark.parametrize("force", [False, True])
def test_folders_of_the_system_are_never_written(name: str, force: bool) -> None:
    with pytest.raises(OptionError, match=r"^the output must be a folder of its own: "):
        check_target(Path(name), force=force)  # the check alone: nothing is ever put there


def test_a_system_folder_by_another_name_is_one(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/usr/lib")
    with pytest.raises(OptionError, match="/usr/lib is the system's; choose another"):
        check_target(tmp_path / "out", force=True)


def test_what_is_a_users_own_is_no_system_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/var/lib/me"))
    for name in (
        "/var/lib/me/out",
        "/home/me/out",
        "/data/out",
        "/opt/out",
        "/tmp/out",
        "/var/tmp/out",
        "/dev/shm/out",
    ):
        assert not is_system_folder(Path(name)), name
    for name in ("/var/lib/other", "/var/lib/me", "/usr/local/out", "/etc/out", "/", "/dev/shm"):
        assert is_system_folder(Path(name)), name
    assert check_target(tmp_path / "out", force=True) == tmp_path / "out"


def test_the_homes_of_all_users_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    users = [type("User", (), {"pw_dir": "/data/people/ann"})]
    monkeypatch.setattr("pwd.getpwall", lambda: users)
    assert is_system_folder(Path("/data/people/ann")) and is_system_folder(Path("/data/people"))
    assert not is_system_folder(Path("/data/people/ann/out")) and not is_system_folder(Path("/data/people/bob"))


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
    with (
        pytest.raises(OptionError, match=r"new file: .*out\.npz exists; add --force"),
        replaced(path, force=False),
    ):
        pass
