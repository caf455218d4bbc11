"""The tab key: what a shell gets when it asks the command for words."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from spikeloom.compiler.cli.completion_command import SHELLS
from spikeloom.compiler.cli.main import main

MODEL = Path(__file__).resolve().parent.parent / "examples" / "digits.nir"

ASKED = {
    "spikeloom comp": "compile compress compare completion",
    "spikeloom compile M --board ices": "icestick icesugar icesugar-pro",
    "spikeloom compile M --fold ": "shared pipelined slotted wide",
    "spikeloom compile M --layer hidden": "hidden_neurons:sparsity= hidden_neurons:bits= hidden_neurons:scheme=",
    "spikeloom compile no.nir --layer hidden": "",
}
"""Lines, and what completes their last word."""

TAB = """
eval "$(spikeloom completion bash)"
complete -p spikeloom >/dev/null || exit 1
while IFS= read -r COMP_LINE; do  # what bash itself does for each tab
    COMP_POINT=${#COMP_LINE} COMP_TYPE=9 COMPREPLY=()
    _python_argcomplete spikeloom
    echo "${COMPREPLY[*]}"
done
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_values_boards_and_layers(tmp_path: Path) -> None:
    shutil.copy(MODEL, tmp_path / "M")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    lines = "".join(f"{line}\n" for line in ASKED)
    shell = subprocess.run(
        ["bash", "-c", TAB], input=lines, text=True, capture_output=True, cwd=tmp_path, env=environment, check=True
    )
    assert [sorted(line.split()) for line in shell.stdout.splitlines()] == [sorted(w.split()) for w in ASKED.values()]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_lines_that_name_the_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "spikeloom" in capsys.readouterr().out
