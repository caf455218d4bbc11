"""Leaks of single neurons: what they cost is told, and compression makes them one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from networks import random_spikes
from spikeloom.compiler import LIF, Network, quantise
from spikeloom.compiler.compression import Recipe, compress, share_leaks
from spikeloom.compiler.flow.compile import integers_of
from spikeloom.compiler.flow.leaks import leak_warning
from spikeloom.compiler.flow.options import CompileOptions
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.errors import OptionError
from test_report import float_network


def own_leaks() -> Network:
    """The first population's neurons have leaks of their own."""
    network = float_network()
    first = network.populations[0]
    beta = np.linspace(0.7, 0.95, first.size)
    return replace(
        network,
        populations=(replace(first, dynamics=LIF(beta=beta, threshold=np.array(1.0))), *network.populations[1:]),
    )


def test_shared_leaks_are_means_and_leave_the_rest() -> None:
    network = own_leaks()
    shared = share_leaks(network)
    first, second = (p.dynamics for p in shared.populations)
    assert isinstance(first, LIF) and isinstance(second, LIF)
    assert first.beta.shape == () and float(first.beta) == pytest.approx(0.825)
    assert second is network.populations[1].dynamics and shared.projections == network.projections
    assert share_leaks(shared).populations == shared.populations


def test_the_report_says_what_they_cost_and_what_spares_it() -> None:
    line = leak_warning(make_plan(quantise(own_leaks(), bits=4), "ice40"), "hx8k")
    assert line is not None and "have leaks of their own, which takes about" in line
    assert "logic cells" in line and "--shared-leaks" in line
    assert leak_warning(make_plan(quantise(float_network(), bits=4), "ice40"), None) is None


def test_compression_shares_them_and_owns_up_to_the_error() -> None:
    network = own_leaks()
    spikes = random_spikes(1, network, samples=4, steps=6)
    small, report = compress(network, Recipe(bits=4, shared_leaks=True), spikes)
    assert leak_warning(make_plan(small, "ice40"), None) is None
    assert report.errors[0].leak > 0.3 and report.errors[1].leak < 0.05
    compiled = integers_of(network, CompileOptions(method="magnitude", bits=4, shared_leaks=True), None)
    assert compiled.network.populations[0].dynamics.decay.c.size == 1
    with pytest.raises(OptionError, match="leave out --shared-leaks"):
        integers_of(small, CompileOptions(shared_leaks=True), None)
