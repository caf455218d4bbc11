"""The arithmetic contract (DESIGN section 3) in plain Python integers, written from its text.

It reads the data of a case and shares no code with the product: neither arrays nor the network's classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Data = dict[str, Any]


@dataclass
class Trace:
    """One population: `spikes` and `membranes` (V at the end of the step), [step][neuron]."""

    spikes: list[list[int]]
    membranes: list[list[int]]


@dataclass
class _Neuron:
    """The state of a neuron, as every sample starts it."""

    v: int = 0
    g: int = 0
    spiked: int = 0


def run_sample(network: Data, steps: Sequence[Sequence[int]]) -> dict[str, Trace]:
    """What every population does on one sample: `steps` [step][input] of counts."""
    spikes: dict[str, list[list[int]]] = {"input": [list(step) for step in steps]}
    traces = {}
    neurons = {}
    for population in network["populations"]:
        trace = Trace([], [])
        traces[population["name"]] = trace
        spikes[population["name"]] = trace.spikes
        neurons[population["name"]] = [_Neuron() for _ in range(population["size"])]
    for step in range(len(steps)):
        for population in network["populations"]:
            name = population["name"]
            currents = _currents(network, population, spikes, step)
            fired = [
                _step(population, index, neuron, current)
                for index, (neuron, current) in enumerate(zip(neurons[name], currents, strict=True))
            ]
            traces[name].spikes.append(fired)
            traces[name].membranes.append([neuron.v for neuron in neurons[name]])
    return traces


def _currents(network: Data, population: Data, spikes: dict[str, list[list[int]]], step: int) -> list[int]:
    """I[j] = bias[j] + sum over projections of (sum_i w[i,j] x_i[t - d_ij]) << e."""
    totals = [_of(population["bias"], neuron) for neuron in range(population["size"])]
    for projection in network["projections"]:
        if projection["post"] != population["name"]:
            continue
        history = spikes[projection["pre"]]
        for post in range(population["size"]):
            total = 0
            for pre, row in enumerate(projection["weights"]):
                when = step - _delay(projection["delay"], pre, post)
                if when >= 0:
                    total += row[post] * history[when][pre]
            totals[post] += total << projection["shift"]
    return totals


def _step(population: Data, index: int, neuron: _Neuron, current: int) -> int:
    """One neuron through one step; the spike."""
    bits = population["state_bits"]
    drive = current
    if population["dynamics"] == "CubaLIF":
        before = neuron.g
        neuron.g = _sat(_decay(population["decay_syn"], index, before) + current, bits)
        drive = before if population["drive"] == "old" else neuron.g
    leak = None if population["dynamics"] == "IF" else population["decay"]
    if population["dynamics"] == "LI":
        neuron.v = _sat(_decay(leak, index, neuron.v) + drive, bits)
        return 0
    fire, sub, v_reset = (_of(population[name], index) for name in ("fire", "sub", "v_reset"))
    to_value = population["reset_mode"] == "value"
    if population["reset"] == "same":
        u = _decay(leak, index, neuron.v) + drive
        spike = int(u > fire)
        if spike:
            u = v_reset if to_value else u - sub
        neuron.v = _sat(u, bits)
    elif population["reset"] == "next" and to_value:
        u = _decay(leak, index, v_reset if neuron.spiked else neuron.v) + drive
        spike = int(u > fire)
        neuron.v = _sat(u, bits)
    elif population["reset"] == "next":
        u = _decay(leak, index, neuron.v) + drive - neuron.spiked * sub
        spike = int(u > fire)
        neuron.v = _sat(u, bits)
    else:
        r = int(neuron.v > fire)
        u = _decay(leak, index, neuron.v) + drive - r * sub
        spike = int(u > fire)
        neuron.v = _sat(u - (spike - r) * sub, bits)
    if population.get("v_min") is not None:
        neuron.v = max(neuron.v, _of(population["v_min"], index))
    neuron.spiked = spike
    return spike


def _decay(leak: Data | None, index: int, x: int) -> int:
    """x - ((x*c + r) >> k)."""
    if leak is None:
        return x
    product, k = x * _of(leak["c"], index), leak["k"]
    if leak["rounding"] == "nearest":
        product += 1 << (k - 1) if k else 0
    elif leak["rounding"] == "toward_zero" and product < 0:
        product += (1 << k) - 1
    return x - (product >> k)


def _sat(x: int, bits: int) -> int:
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, x))


def _of(value: Any, index: int) -> int:
    """A parameter of one neuron: a number for all, or a list."""
    return value[index] if isinstance(value, list) else value


def _delay(delay: Any, pre: int, post: int) -> int:
    row = delay[pre] if isinstance(delay, list) else delay
    return row[post] if isinstance(row, list) else row
