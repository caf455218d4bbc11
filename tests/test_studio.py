"""The Studio's server: who may reach it, what it takes, and what it says of bad input."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.studio import commands, figures, uploads
from spikeloom.compiler.studio.pipeline import Pipeline
from spikeloom.compiler.studio.server import Server
from spikeloom.compiler.studio.settings import Settings
from spikeloom.compiler.studio.studio import steps_of
from spikeloom.hdl.errors import InputError, OptionError
from studio_page import Client, serving, write_samples, write_weights


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("studio")
    write_weights(folder / "tiny.npz")
    write_samples(folder / "samples.npz")
    write_samples(folder / "unlabelled.npz", labels=False)
    with serving(folder) as server:
        yield Client(server)


# ---------------------------------------------------------------------------------------------------- who may


def test_the_token_is_exchanged_for_a_cookie_that_scripts_do_not_get(client: Client) -> None:
    path = client.server.access.address.removeprefix(f"http://{client.own}")
    status, headers, _ = client.ask("GET", path, headers={"Host": client.own})
    assert (status, headers["Location"]) == (303, "/")
    assert headers["Set-Cookie"].endswith("HttpOnly; SameSite=Strict")


@pytest.mark.parametrize("path", ["/", "/state", "/studio.js", "/panel/network", "/report/x", "/?token=", "/?token=1"])
def test_nothing_is_served_without_the_token(client: Client, path: str) -> None:
    status, _, body = client.ask("GET", path, headers={"Host": client.own})
    assert status == 403 and b"token" in body
    wrong = {"Host": client.own, "Cookie": client.headers["Cookie"][:-1] + "x"}
    assert client.ask("GET", path, headers=wrong)[0] == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:18642", ""])
def test_another_name_for_this_machine_is_refused(client: Client, host: str) -> None:
    assert client.ask("GET", "/state", headers=client.headers | {"Host": host})[0] == 403


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "https://127.0.0.1:18642", "http://127.0.0.1:1"]
)
def test_only_the_own_page_changes_something(client: Client, origin: str | None) -> None:
    before = client.server.studio.settings
    headers = client.headers | ({} if origin is None else {"Origin": origin})
    for path in ("/settings", "/start", "/stop", "/upload?name=a.nir", "/example", "/run"):
        assert client.ask("POST", path, "bits=2", headers)[0] == 403
    assert client.server.studio.settings == before


def test_pages_run_no_other_scripts_and_are_in_no_other_frame(client: Client) -> None:
    status, headers, _ = client.ask("GET", "/")
    policy = headers["Content-Security-Policy"]
    assert status == 200
    assert "script-src 'self'" in policy and "frame-ancestors 'self'" in policy and "default-src 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_server_listens_to_this_machine_alone(client: Client) -> None:
    assert client.server.server_address[0] == "127.0.0.1"


# ------------------------------------------------------------------------------------------------ what is shown


def test_a_network_is_estimated_with_and_without_compression(client: Client) -> None:
    client.post("/settings", model="tiny.npz", samples="samples.npz", target="icestick", sparsity="0.5", bits="4")
    text = client.panel("estimates", "With compression", "Without compression", 'data-figure="lcs"', "of 1,280", "Fmax")
    assert "spikeloom estimate tiny.npz --board icestick --data samples.npz --method magnitude" in text
    assert "--sparsity 0.5 --bits 4" in text and "on 4 samples" in text
    assert "hidden to output" in client.panel("network", "LIF")
    assert "4 samples of 6 steps" in client.panel("samples", "with labels")
    status, _, page = client.ask("GET", "/")
    assert status == 200 and b"Spikeloom Studio" in page


def test_what_becomes_new_while_the_page_is_made_is_fetched_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = client.server.studio
    before = studio.versions["builds"]
    monkeypatch.setattr(studio.builds, "all", lambda: studio._moved() or [])
    page = client.ask("GET", "/")[2].decode()
    assert f'data-panel="builds" data-version="{before}"' in page and studio.versions["builds"] == before + 1


def test_panels_are_new_where_a_choice_shows(client: Client) -> None:
    client.post("/settings", model="tiny.npz", samples="samples.npz", build="one")
    client.panel("estimates", "Without compression")
    before = dict(client.server.studio.versions)
    client.post("/settings", build="two")
    assert {name for name, at in client.server.studio.versions.items() if at != before[name]} == {"pipeline"}
    client.post("/settings", samples="unlabelled.npz")  # without samples builds are not run
    assert all(at > before[name] for name, at in client.server.studio.versions.items())
    client.post("/settings", samples="samples.npz")


def test_the_page_answers_while_figures_take_long_and_the_latest_choice_counts(client: Client) -> None:
    client.post("/settings", model="tiny.npz", samples="samples.npz", sparsity="0.6")
    client.panel("estimates", "--sparsity 0.6", "Without compression")
    worker = client.server.studio.worker
    stuck = worker.process
    assert stuck is not None
    os.kill(stuck, signal.SIGSTOP)
    client.post("/settings", sparsity="0.7")
    assert "estimates" in json.loads(client.ask("GET", "/state")[2])["busy"]
    shown = client.ask("GET", "/panel/estimates")[2].decode()
    assert "computing" in shown and 'data-figure="lcs"' in shown
    client.post("/settings", sparsity="0.8")
    client.panel("estimates", "--sparsity 0.8", "Without compression")
    assert worker.process != stuck


def test_the_example_is_put_into_the_folder(client: Client) -> None:
    pytest.importorskip("spikeloom.examples", reason="the package was installed without its examples")
    before = client.server.studio.settings
    assert client.post("/example")[0] == 200
    assert "DigitsNet" in client.panel("network", "hidden_neurons")
    client.post("/settings", model=before.model, samples=before.samples)
    client.panel("estimates", "tiny.npz")


def test_samples_may_be_without_labels_or_missing(client: Client) -> None:
    client.post("/settings", model="tiny.npz", samples="unlabelled.npz")
    assert "samples have no labels" in client.panel("estimates", "add labels", "Without compression")
    client.post("/settings", samples="")
    assert "no samples: load some" in client.panel("estimates", "no samples", "Without compression")
    assert "No samples are loaded" in client.panel("samples", "No samples")
    client.post("/settings", samples="samples.npz")


def test_what_pipeline_runs_is_shown_before(client: Client) -> None:
    client.post("/settings", model="tiny.npz", samples="samples.npz", plain="true", build="both")
    client.panel("network", "LIF")
    text = client.panel("pipeline", "spikeloom compile .studio/both.nir", "build/both-plain")
    assert "spikeloom compress tiny.npz --data samples.npz" in text and "spikeloom regress build/both" in text
    client.post("/settings", plain="false", build="design")


# ---------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"bits": "9"}, b"bits is one of"),
        ({"sparsity": "nan"}, b"sparsity is a number from 0"),
        ({"target": "--help"}, b"target is one of"),
        ({"build": "../x"}, b"a build's name is letters"),
        ({"model": "/etc/passwd"}, b"a file is one of the Studio's folder"),
        ({"samples": "../samples.npz"}, b"a file is one of the Studio's folder"),
        ({"nonsense": "1"}, b"a setting is one of the page's"),
        ({"dt": "-1"}, b"dt is a number"),
    ],
)
def test_settings_are_checked(client: Client, form: dict[str, str], words: bytes) -> None:
    status, body = client.post("/settings", **form)
    assert status == 409 and words in body


@pytest.mark.parametrize(
    "path", ["/report/..", "/report/%2e%2e", "/file/x/manifest.json", "/file/../x", "/compare?build=a"]
)
def test_no_path_leads_out_of_the_folder(client: Client, path: str) -> None:
    assert client.ask("GET", path)[0] in (404, 409)


def test_other_files_are_told_what_is_taken(client: Client) -> None:
    status, body = client.upload("model.onnx", b"PK")
    assert status == 409 and b"a state dict (.pt)" in body
    assert client.upload("run.sh", b"x")[0] == 409
    for name, length, words in (
        ("a.h5", "5", b"load a NIR file"),
        ("a.npz", str(1 << 40), b"put it into the folder instead"),
    ):
        status, body = client.post("/offer", name=name, length=length)
        assert status == 409 and words in body
    for name in ("a.npz", "a.pt", "A.PTH"):
        assert client.post("/offer", name=name, length="5")[0] == 200


def test_uploads_are_bounded_before_they_are_read(client: Client) -> None:
    length = str(uploads.MAX_UPLOAD_BYTES + 1)
    headers = client.headers | {"Origin": f"http://{client.own}", "Content-Length": length}
    status, _, body = client.ask("POST", "/upload?name=a.npz", None, headers)
    assert status == 409 and b"put it into the folder instead" in body
    headers["Content-Length"] = "x"
    assert client.ask("POST", "/upload?name=a.npz", None, headers)[0] == 409


def test_an_upload_that_ends_early_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ended 7 bytes early"):
        uploads.receive(tmp_path, "a.npz", 10, io.BytesIO(b"abc"))
    assert not list(tmp_path.iterdir())


def test_names_of_uploads_become_harmless_and_replace_nothing(tmp_path: Path) -> None:
    names = [
        uploads.receive(tmp_path, name, 1, io.BytesIO(b"x")) for name in ("../<b>é.nir", "-x.npz", "a.nir", "a.nir")
    ]
    assert names == ["b.nir", "x.npz", "a.nir", "a-2.nir"]


def test_hostile_files_are_a_message(client: Client) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<i8", "fortran_order": False, "shape": (1 << 40, 8)})
        archive.writestr("hidden.weight.npy", header.getvalue())
    pickled = io.BytesIO()
    np.savez(pickled, **{"hidden.weight": np.array([{"a": 1}], dtype=object)})
    floats = io.BytesIO()
    np.savez(floats, **{"hidden.weight": np.ones((2, 2))})
    cases = {
        b"\x89HDF\r\n\x1a\n" + bytes(100): ("a.nir", "the file is damaged"),
        bomb.getvalue(): ("b.npz", "arrays have the size that they declare"),
        pickled.getvalue(): ("c.npz", "arrays hold integers"),
        floats.getvalue(): ("d.npz", "quantise them first"),
    }
    for content, (name, words) in cases.items():
        assert client.upload(name, content)[0] == 200
        assert words in client.panel("network", 'class="alert"')
        client.panel("estimates", 'class="alert"')
    client.post("/settings", model="tiny.npz", samples="samples.npz")
    client.panel("network", "LIF")


def test_names_with_markup_are_text(client: Client) -> None:
    evil = "<img src=x onerror=alert(1)>"
    content = io.BytesIO()
    codes = np.ones((3, 8), np.int8)
    np.savez(content, **{f"{evil}.weight": codes, f"{evil}.beta": np.array(0.5)})
    client.upload("<script>.npz", content.getvalue())
    for name in ("network", "estimates"):
        text = client.panel(name, "img src=x" if name == "network" else "data-figure")
        assert evil not in text and "<script>" not in text
    client.post("/settings", model="tiny.npz")
    client.panel("network", "LIF")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_weights(tmp_path / "tiny.npz")
    read = figures.read_model

    def slow(path: Path, **options: object) -> object:
        found = read(path, **options)
        os.utime(path, (1, 1))
        return found

    monkeypatch.setattr(figures, "read_model", slow)
    with pytest.raises(InputError, match="changed; load it again"):
        list(figures.Figures(tmp_path).network(Settings(model="tiny.npz")))
    with pytest.raises(InputError, match="is gone; load it again"):
        list(figures.Figures(tmp_path).network(Settings(model="none.npz")))


def test_what_a_reader_told_stays_with_its_conventions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_weights(tmp_path / "tiny.npz")
    read = figures.read_model

    def telling(path: Path, **options: Any) -> object:
        warnings.warn(f"read as {options['dialect']}", stacklevel=1)
        return read(path, **options | {"dialect": None})

    monkeypatch.setattr(figures, "read_model", telling)
    shown = figures.Figures(tmp_path)
    for dialect in ("norse", "nir", "norse"):
        (found,) = shown.network(Settings(model="tiny.npz", dialect=dialect))
        assert found["told"] == [f"read as {dialect}"]


def test_a_network_of_200_populations_is_shown(tmp_path: Path) -> None:
    write_weights(tmp_path / "deep.npz", (4,) * 201, tuple(f"layer{n}" for n in range(200)))
    found = next(figures.Figures(tmp_path).network(Settings(model="deep.npz")))
    assert len(found["populations"]) == 200
    assert (len(found["histograms"]), found["left_out"]) == (figures.MOST_PLOTS, 200 - figures.MOST_PLOTS)


def test_a_taken_port_is_a_message_and_the_next_is_tried(client: Client) -> None:
    port = client.server.access.port
    with pytest.raises(OptionError, match=f"{port} is taken; choose another with --port"):
        Server(client.server.studio, port, exact=True)
    with Server(client.server.studio, port) as other:
        assert other.access.port > port and other.access.token != client.server.access.token


def test_a_full_disk_is_a_message(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device", "a.npz")

    monkeypatch.setattr(uploads, "receive", full)
    status, body = client.upload("a.npz", b"x")
    assert status == 500 and b"make room" in body


# ------------------------------------------------------------------------------------------------- the pipeline


def _steps(*names: str) -> tuple[commands.Step, ...]:
    """Commands that end at once."""
    return tuple(commands.Step(name, ("boards", "--json")) for name in names)


def test_a_record_says_what_was_wished_and_no_commands(tmp_path: Path) -> None:
    write_weights(tmp_path / "tiny.npz")
    hidden = tmp_path / commands.HIDDEN
    hidden.mkdir()
    wish = {"settings": Settings(model="tiny.npz").data(), "integer": True, "weights": True}
    steps = [{"state": "running", "said": "x", "took": 1.0}]
    record = hidden / "pipeline.json"
    record.write_text(json.dumps({"wish": wish, "steps": steps, "command": ["rm"]}))
    kept = Pipeline(tmp_path, lambda: None, steps_of)
    assert [item.state for item in kept.steps] == ["stopped"]
    assert kept.resumable and kept.steps[0].step.command[:2] == ("compile", "tiny.npz")
    for damage in (wish | {"settings": {"build": "../x"}}, {"settings": 1}, {}):
        record.write_text(json.dumps({"wish": damage, "steps": steps}))
        assert Pipeline(tmp_path, lambda: None, steps_of).steps == []


def test_two_pipelines_do_not_run_in_one_folder(tmp_path: Path) -> None:
    (tmp_path / commands.HIDDEN).mkdir()
    one, other = (Pipeline(tmp_path, lambda: None, lambda _: ()) for _ in range(2))
    one.start(_steps("a", "b"), {})
    try:
        with pytest.raises(OptionError, match="one pipeline at a time"):
            one.start(_steps("c"), {})
        with pytest.raises(OptionError, match="another Studio's runs in"):
            other.start(_steps("c"), {})
    finally:
        one.stop()
    assert not one.running and one.resumable
    assert [item.state for item in one.steps] == ["stopped", "waiting"]


def test_a_build_is_not_built_over(tmp_path: Path) -> None:
    (tmp_path / commands.HIDDEN).mkdir()
    (tmp_path / "build" / "design").mkdir(parents=True)
    line = Pipeline(tmp_path, lambda: None, lambda _: ())
    with pytest.raises(OptionError, match="build/design exists; choose another name"):
        line.start((commands.Step("x", ("boards",), "build/design"),), {})


def test_help_starts_without_the_studio() -> None:
    program = (
        "import sys; from spikeloom.compiler.cli.main import main; main(['studio', '--help']); "
        "sys.exit(bool({'spikeloom.compiler.studio', 'jinja2', 'webbrowser'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "--no-browser" in done.stdout


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    from spikeloom.compiler.cli.main import main

    write_weights(tmp_path / "tiny.npz")
    assert main(["studio", str(tmp_path / "tiny.npz"), "--no-browser"]) == 2
    shutil.rmtree(tmp_path)
