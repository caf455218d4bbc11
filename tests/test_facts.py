"""What was learnt about a network is carried: a compilation checks each network once, where it comes in or is made."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir import verifier
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LIF
from spikeloom.hdl.errors import ModelError


def network() -> Network:
    rng = np.random.default_rng(0)
    sizes = {INPUT: 12, "hidden": 8, "out": 4}
    dynamics = LIF(beta=0.5, threshold=1.0)
    return Network(
        input_shape=(12,),
        populations=tuple(Population(name=n, shape=(sizes[n],), dynamics=dynamics) for n in ("hidden", "out")),
        projections=tuple(
            Projection(pre=pre, post=post, connectivity=Dense(weights=rng.normal(0.3, 0.4, (sizes[pre], sizes[post]))))
            for pre, post in pairwise(sizes)
        ),
        output="out",
    )


def test_a_compilation_checks_every_network_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_nir(network(), tmp_path / "net.nir")
    checked: list[Network] = []
    rules = verifier._check_rules

    def counted(found: Network) -> None:
        checked.append(found)
        rules(found)

    monkeypatch.setattr(verifier, "_check_rules", counted)
    options = ["--emit", "verilog", "--bits", "4", "--sparsity", "0.25", "--method", "magnitude"]
    assert main(["compile", str(tmp_path / "net.nir"), *options, "--output", str(tmp_path / "build")]) == 0
    times = Counter(map(id, checked))
    assert set(times.values()) == {1}
    levels = [found.is_integer for found in checked]
    assert levels == [False, False, True, True]  # read; pruned; with rounded weights; with the neurons for them


def test_only_the_very_network_is_known_to_be_valid() -> None:
    good = network()
    verifier.verify(good)
    verifier.verify(good)
    with pytest.raises(ModelError, match="'nobody' is none; use 'out'"):
        verifier.verify(replace(good, output="nobody"))
    bad = replace(good, output="nobody")
    for _ in range(2):  # what was found broken stays so
        with pytest.raises(ModelError, match="'nobody' is none; use 'out'"):
            verifier.verify(bad)
    with pytest.raises(ValueError, match="read-only"):
        good.projections[0].connectivity.real[0, 0] = np.nan
