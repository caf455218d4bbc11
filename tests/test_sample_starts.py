"""Whatever starts a sample, its first step is the contract's, in every kind of engine and under every rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fuzz.check import check_hardware, plan_of
from fuzz.networks import RESETS
from fuzz.oracle import Data, run_sample

SIZE = 5
"""Neurons and inputs: an odd pass of vector engines, and no power of two."""

ENGINES: dict[str, dict[str, Any]] = {
    "one lane": {},
    "lanes": {"lanes": 2, "queue": 4},
    "skips": {"skips": True},
    "SPRAM": {"spram": True},
    "vector": {"kind": "vector", "lanes": 0},
    "slotted": {"kind": "slotted", "lanes": 4},
    "fast": {"fast": True},
    "fast on ECP5": {"fast": True},
    "wide vector": {"kind": "vector", "lanes": 3, "events_per_beat": 2, "neurons_per_cycle": 2},
}
HALF = {"c": 1, "k": 1, "rounding": "nearest"}
LEAKS: dict[str, dict[str, Any]] = {
    "IF": {"dynamics": "IF", "decay": None},
    "LIF": {"dynamics": "LIF", "decay": {"c": 3, "k": 4, "rounding": "nearest"}},
    "CubaLIF": {"dynamics": "CubaLIF", "decay": {"c": 3, "k": 4, "rounding": "nearest"}, "decay_syn": HALF},
    "CubaLIF old": {"dynamics": "CubaLIF", "decay": {"c": 3, "k": 4, "rounding": "nearest"}, "decay_syn": HALF}
    | {"drive": "old"},
    "ALIF": {"dynamics": "LIF", "decay": {"c": 3, "k": 4, "rounding": "nearest"}, "adapt": HALF | {"jump": 7}},
}


def network(leak: str, place: str, mode: str) -> Data:
    """Neurons with thresholds on both sides of 0, of which some fire without input."""
    rng = np.random.default_rng(3)
    fires = [-9, -1, 0, 4, 12]
    return {
        "name": "starts",
        "input": {"size": SIZE, "x_max": 1},
        "populations": [
            {
                "name": "p0",
                "size": SIZE,
                "decay_syn": None,
                "drive": "new",
                **LEAKS[leak],
                "fire": fires,
                "sub": [3, -2, 6, 5, 13],
                "v_reset": [-4, 2, 0, 1, -7] if mode == "value" else 0,
                "reset_mode": mode,
                "reset": place,
                "state_bits": 9,
                "bias": [1, 0, 0, -1, 2],
            }
        ],
        "projections": [
            {
                "pre": "input",
                "post": "p0",
                "weights": rng.integers(-7, 8, (SIZE, SIZE)).tolist(),
                "delay": 0,
                "shift": 0,
            }
        ],
        "output": "p0",
    }


def case(engine: str, leak: str, place: str, mode: str) -> Data:
    """A sample after a reset in the middle of another, one that is aborted, one after an abort, one after a sample."""
    rng = np.random.default_rng(8)
    samples = rng.integers(0, 2, (5, 3, SIZE)).tolist()
    runs = [{"steps": steps, "aborted": number == 1} for number, steps in enumerate(samples)]
    return {
        "family": "ecp5" if "ECP5" in engine else "ice40",
        "network": network(leak, place, mode),
        "folding": {"engines": [{"populations": ["p0"], **ENGINES[engine]}]},
        "stimulus": {
            "inputs": SIZE,
            "before": runs[4:],
            "wait": 1,
            "runs": runs[:4],
            "pauses": 0,
            "stalls": 0,
            "seed": 1,
        },
    }


RULES = [("IF", "snntorch_same", "subtract")] + [
    (leak, *reset) for leak in ("LIF", "CubaLIF", "CubaLIF old") for reset in RESETS
]
RULES += [("ALIF", *reset) for reset in RESETS if reset[0] != "snntorch_same"]


PLAIN = [("IF", "snntorch_same", "subtract"), ("LIF", "next", "subtract"), ("LIF", "same", "value")]
"""Slotted and fast engines have neither currents nor thresholds that adapt."""

CASES = [(engine, *rule) for engine in ENGINES for rule in (PLAIN if engine.startswith(("slotted", "fast")) else RULES)]


@pytest.mark.parametrize(("engine", "leak", "place", "mode"), CASES)
def test_a_sample_starts_as_the_contract_says(engine: str, leak: str, place: str, mode: str) -> None:
    data = case(engine, leak, place, mode)
    check_hardware(data, plan_of(data), traced=True)


@pytest.mark.parametrize(("place", "mode"), RESETS)
def test_the_samples_tell_a_wrong_start(place: str, mode: str) -> None:
    """Some neuron fires in the first step because its threshold is below 0, and what it loses then shows."""
    data = network("LIF", place, mode)
    trace = run_sample(data, [[0] * SIZE, [0] * SIZE])["p0"]
    assert trace.spikes[0][:2] != [0, 0]
    biases = data["populations"][0]["bias"]
    assert trace.membranes[0] != biases or trace.membranes[1] != biases
