"""The folding that is chosen by estimate, among those that were built: nothing built is smaller and faster."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from spikeloom.boards.devices import find_device
from spikeloom.compiler.cycles.count import cycles_from_rates
from spikeloom.compiler.estimate.candidates import searched_foldings
from spikeloom.compiler.estimate.choose_folding import Objective, Purpose, choose_folding
from spikeloom.compiler.estimate.estimate import estimate
from spikeloom.compiler.plan.folding import Folding
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.emit.emit import to_rtlil
from spikeloom.sim.reference import run_reference

DEVICE = find_device("lfe5u-25f")

STEPS = 10

WITHIN = 1.05
"""A folding beats another where it is better by more than this in both figures: placements are luck."""

NEAR = 1.25
"""What another beats by more than this by the estimate is not built."""

NETWORKS = {"small": ((30, 16, 5), 0.4), "sparse": ((200, 60, 10), 0.05), "deep": ((64, 32, 32, 10), 0.2)}
"""The sizes of populations from the input on, and the share of weights that is not 0."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Of a folding: look-up tables, and the microseconds of a sample at its own Fmax."""

    luts: float
    microseconds: float

    def beats(self, other: Figures, by: float) -> bool:
        return self.luts * by < other.luts and self.microseconds * by < other.microseconds


@pytest.fixture(scope="module")
def measuring() -> Iterator[SimpleNamespace]:
    """What places a core alone, and networks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).resolve().parent.parent / "benchmarks"))
        modules = [importlib.import_module(f"measuring.{name}") for name in ("bench", "networks")]
        yield SimpleNamespace(**{key: value for module in modules for key, value in vars(module).items()})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("sizes", "density"), NETWORKS.values(), ids=list(NETWORKS))
def test_the_choice_is_on_the_front_of_what_was_built(
    sizes: tuple[int, ...], density: float, measuring: SimpleNamespace, tmp_path: Path
) -> None:
    network = measuring.random_network(1, sizes, density, 4)
    spikes = measuring.random_spikes(sizes[0], steps=STEPS)
    rates = {n: np.mean(t, axis=(0, 1)) for n, t in run_reference(network, spikes).trains(spikes).items()}

    def chosen(objective: Objective) -> Folding:
        purpose = Purpose(objective=objective, clock_hz=float("inf"), steps=STEPS)
        of_device = {"device": DEVICE.id, "capacity": DEVICE.capacity}
        return choose_folding(network, DEVICE.family, purpose, rates, **of_device)  # type: ignore[arg-type]

    def estimated(folding: Folding) -> Figures:
        plan = make_plan(network, DEVICE.family.value, folding)
        found = estimate(plan, device=DEVICE.id, rates=rates, steps=STEPS)
        assert found.cycles is not None
        return Figures(luts=found.resources.luts, microseconds=found.cycles / found.fmax_mhz)

    def built(folding: Folding) -> Figures:
        plan = make_plan(network, DEVICE.family.value, folding)
        rtlil, folder = to_rtlil(plan.core(), "top"), tmp_path / str(len(list(tmp_path.iterdir())))
        (folder / "placed" / "logs").mkdir(parents=True)
        netlist = measuring.synthesise(rtlil, DEVICE, folder)
        found = measuring.place(netlist, rtlil, DEVICE, folder / "placed", seed=1)
        microseconds = cycles_from_rates(plan, rates, STEPS) / found["fmax_mhz"]
        return Figures(luts=found["used"]["luts"], microseconds=microseconds)

    choices = {objective: chosen(objective) for objective in (Objective.LUTS, Objective.LATENCY)}
    guesses = {folding: estimated(folding) for folding in searched_foldings(network, (2, 4)).values()}
    near = [f for f, guess in guesses.items() if not any(g.beats(guess, NEAR) for g in guesses.values())]
    found = {folding: built(folding) for folding in dict.fromkeys([*near, *choices.values()])}
    assert len(found) > 3
    for objective, folding in choices.items():
        better = {other: figures for other, figures in found.items() if figures.beats(found[folding], WITHIN)}
        assert not better, f"least {objective}: {found[folding]} of {folding}; {better}"
