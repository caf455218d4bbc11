"""Networks in whole numbers: leaks keep all or nothing, so that real arithmetic never rounds and obeys the contract."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from golden import network_of
from hypothesis import strategies as st
from spikeloom.compiler.ir.network import Network, Population
from spikeloom.compiler.ir.neurons import IF, LI, LIF, CubaLI, CubaLIF, Drive, IntegerDynamics, ResetMode, ResetPlace
from spikeloom.sim.float_executor import run_float

from .networks import networks
from .oracle import Data, run_sample

_LARGEST = 64
"""Constants are cut to this, and shifts left out, so that nothing saturates at 32 bits either."""


@st.composite
def whole_cases(draw: st.DrawFn) -> tuple[Data, list[list[int]]]:
    """A network of the whole IR in whole numbers, and a sample [step][input]."""
    network = _whole(draw(networks(hardware=False)))
    count = st.integers(0, network["input"]["x_max"])
    inputs = network["input"]["size"]
    return network, draw(st.lists(st.lists(count, min_size=inputs, max_size=inputs), min_size=1, max_size=7))


def check_float(network: Data, sample: list[list[int]]) -> None:
    """The float executor equals the oracle in every spike and membrane."""
    recording = run_float(_real(network_of(network)), np.array([sample], np.uint8), membranes=True)
    for name, trace in run_sample(network, sample).items():
        recorded = recording.populations[name]
        assert recorded.membranes is not None
        assert recorded.spikes[0].tolist() == trace.spikes, f"float executor, population {name}: spikes"
        assert recorded.membranes[0].tolist() == trace.membranes, f"float executor, population {name}: membranes"


def _whole(network: Data) -> Data:
    populations = [
        {
            **population,
            **{name: _cut(population[name]) for name in ("v_reset", "v_min", "bias")},
            "fire": (fire := _positive(population)),
            "sub": fire if (population.get("max_spikes") or 1) > 1 else _cut(population["sub"]),
            "state_bits": 32,
            **{name: _all_or_nothing(population[name]) for name in ("decay", "decay_syn", "adapt")},
        }
        for population in network["populations"]
    ]
    projections = [{**projection, "shift": 0} for projection in network["projections"]]
    return {**network, "populations": populations, "projections": projections}


def _positive(population: Data) -> Any:
    """The thresholds, cut; above 0 where real neurons may fire several times."""
    fire = np.array(_cut(population["fire"]))
    return (np.maximum(fire, 1) if (population.get("max_spikes") or 1) > 1 else fire).tolist()


def _cut(value: Any) -> Any:
    return None if value is None else np.clip(value, -_LARGEST, _LARGEST).tolist()


def _all_or_nothing(leak: Data | None) -> Data | None:
    if leak is None:
        return None
    whole = {"c": (np.array(leak["c"]) % 2).tolist(), "k": 0, "rounding": leak["rounding"]}
    return whole | ({"jump": _cut(leak["jump"])} if "jump" in leak else {})


def _real(network: Network) -> Network:
    """The same network of float neurons."""
    projections = tuple(
        replace(p, connectivity=p.connectivity.with_weights(p.connectivity.real)) for p in network.projections
    )
    populations = tuple(_real_population(p) for p in network.populations)
    return replace(network, populations=populations, projections=projections, dtype="float64")


def _real_population(population: Population) -> Population:
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    kept = {} if dynamics.decay is None else {"beta": 1 - dynamics.decay.c}
    if dynamics.decay_syn is not None:
        kept |= {"alpha": 1 - dynamics.decay_syn.c, "drive": Drive(dynamics.drive)}
    if dynamics.decay_a is not None:
        kept |= {"rho": 1 - dynamics.decay_a.c, "jump": dynamics.jump}
    if not population.fires:
        return replace(population, dynamics=(LI if dynamics.decay_syn is None else CubaLI)(**kept))
    model = {"IF": IF, "LIF": LIF, "CubaLIF": CubaLIF}[dynamics.kind.value]
    real = model(
        threshold=dynamics.fire,
        v_reset=dynamics.v_reset,
        v_min=dynamics.v_min,
        sub=dynamics.sub if dynamics.reset_mode is ResetMode.SUBTRACT and population.max_spikes == 1 else None,
        max_spikes=dynamics.max_spikes,
        reset_mode=ResetMode(dynamics.reset_mode),
        reset_place=ResetPlace(dynamics.reset_place),
        **kept,
    )
    return replace(population, dynamics=real)
