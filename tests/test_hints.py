"""What messages and documents tell a user to do works."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from spikeloom.compiler import write_nir
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.compression import Recipe, apply, compress
from spikeloom.compiler.flow.compile import CompileOptions, compile_network
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LIF
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.hdl.errors import ModelError, OptionError, installing

ROOT = Path(__file__).parents[1]


def network() -> Network:
    rng = np.random.default_rng(3)
    return Network(
        input_shape=(6,),
        populations=(Population(name="out", shape=(4,), dynamics=LIF(beta=0.875, threshold=1.0)),),
        projections=(Projection(pre=INPUT, post="out", connectivity=Dense(weights=rng.normal(size=(6, 4)))),),
        output="out",
    )


def test_no_hint_installs_from_a_registry() -> None:
    """Spikeloom is on none: its extras are installed from the checkout, as the README does."""
    files = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    files += [file for room in ("hdl", "boards", "compiler", "sim") for file in (ROOT / room).rglob("*.py")]
    assert len(files) > 100
    named = [file.name for file in files if re.search(r"spikeloom\[[a-z]", file.read_text(encoding="utf-8"))]
    assert named == []
    assert installing("torch") == "pip install '.[torch]' in Spikeloom's checkout"


def test_a_module_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    from spikeloom.compiler.frontends.snntorch.frontend import from_snntorch

    monkeypatch.setitem(sys.modules, "snntorch", None)
    with pytest.raises(ModelError, match=r"snntorch is missing; install them with pip install '\.\[torch\]' in Spike"):
        from_snntorch(object(), 3)  # type: ignore[arg-type]


def test_magnitude_is_not_told_to_be_magnitude(monkeypatch: pytest.MonkeyPatch) -> None:
    from spikeloom.compiler.compression import FineTune

    monkeypatch.setattr(apply, "find_spec", lambda name: None)
    spikes = np.ones((4, 5, 6), np.uint8)
    tune = FineTune(spikes=spikes, labels=np.zeros(4, np.int64))
    with pytest.raises(OptionError, match=r"fine-tuning computes with torch.*, or leave the fine-tuning out$"):
        compress(network(), Recipe(method="magnitude", sparsity=0.5, bits=4), spikes, finetune=tune)
    with pytest.raises(OptionError, match=r"osbc compression computes with torch.*, or choose the method magnitude$"):
        compress(network(), Recipe(method="osbc", sparsity=0.5, bits=4), spikes)


def test_the_program_of_the_compression_page(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    text = (ROOT / "docs" / "compression.md").read_text(encoding="utf-8")
    program = re.search(r"## In Python\n\n```python\n(.*?)```", text, re.S)
    assert program is not None
    monkeypatch.chdir(ROOT)
    scope: dict[str, object] = {}
    # the names and options are what can be wrong: magnitude reads them as osbc does, and is done at once
    exec(program[1].replace('method="osbc"', 'method="magnitude"'), scope)
    small = scope["small"]
    assert isinstance(small, Network)
    bits = {projection.post: projection.weights.bits for projection in small.projections}  # type: ignore[union-attr]
    assert bits == {"hidden_neurons": 4, "output_neurons": 6}


def test_nothing_is_said_of_quantisation_where_there_is_none(tmp_path: Path) -> None:
    """An integer network without samples: its cycles are counted on random spikes, and that is all."""
    integer = quantise(network(), 4, np.ones((2, 5, 6), np.uint8))
    warnings = compile_network(integer, tmp_path / "a", CompileOptions(verilog_only=True)).report()["warnings"]
    assert "no samples were given: cycles come from random spikes" in warnings
    warnings = compile_network(network(), tmp_path / "b", CompileOptions(verilog_only=True, bits=4)).report()[
        "warnings"
    ]
    assert "no samples were given: cycles come from random spikes, and quantisation did not see data" in warnings


def test_a_clock_that_is_too_fast_is_a_mistake_and_the_design_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_nir(quantise(network(), 4, np.ones((2, 5, 6), np.uint8)), "n.nir")
    assert main(["compile", "n.nir", "--device", "ecp5", "--clock-mhz", "900", "--output", "out"]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(
        r"spikeloom: error: the design is too slow: [\d.]+ MHz for a clock of 900.0 MHz; choose a clock of at most "
        r"[\d.]+ MHz \(--clock-mhz\), or another seed; what was placed is kept in out\.slow",
        message,
    )
    assert not Path("out").exists()
    kept = {file.name for file in Path("out.slow").iterdir()}
    assert {"top.config", "top.v", "network.nir", "nextpnr.json", "logs"} <= kept
    assert not {"top.bit", "manifest.json"} & kept
