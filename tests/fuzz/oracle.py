"""The arithmetic contract (DESIGN section 3) in plain Python integers, written from its text.

It reads the data of a case and shares no code with the product: neither arrays nor the network's classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .maps import Data, of_map


@dataclass
class Trace:
    """One population: `spikes`, `membranes` (V at the end of the step) and `starts` (what the membrane was before the
    drive came on top: decayed, and less a late reset), [step][neuron]."""

    spikes: list[list[int]]
    membranes: list[list[int]]
    starts: list[list[int]]


@dataclass
class _Neuron:
    """The state of a neuron, as every sample starts it."""

    v: int = 0
    g: int = 0
    a: int = 0
    spiked: int = 0
    start: int = 0


def run_sample(network: Data, steps: Sequence[Sequence[int]]) -> dict[str, Trace]:
    """What every population does on one sample: `steps` [step][input] of counts."""
    spikes: dict[str, list[list[int]]] = {"input": [list(step) for step in steps]}
    traces = {}
    neurons = {}
    for population in network["populations"]:
        trace = Trace([], [], [])
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
            traces[name].starts.append([neuron.start for neuron in neurons[name]])
    return traces


def _currents(network: Data, population: Data, spikes: dict[str, list[list[int]]], step: int) -> list[int]:
    """I[j] = bias[j] + sum over projections of (sum_i w[i,j] x_i[t - d_ij]) << e."""
    totals = [_of(population["bias"], neuron) for neuron in range(population["size"])]
    shapes = {p["name"]: p.get("shape") for p in (network["input"] | {"name": "input"}, *network["populations"])}
    for projection in network["projections"]:
        if projection["post"] != population["name"]:
            continue
        history = spikes[projection["pre"]]
        if "kernel" in projection or "pool" in projection:
            shape = shapes[projection["pre"]]
            arrived = _delayed(projection["delay"], history, step, math.prod(shape))
            sums = of_map(projection, arrived, shape)
        else:
            sums = _of_matrix(projection, history, step, population["size"])
        totals = [total + (sum_ << projection["shift"]) for total, sum_ in zip(totals, sums, strict=True)]
    return totals


def _of_matrix(projection: Data, history: list[list[int]], step: int, size: int) -> list[int]:
    sums = [0] * size
    for post in range(size):
        for pre, row in enumerate(projection["weights"]):
            when = step - _delay(projection["delay"], pre, post)
            if when >= 0:
                sums[post] += row[post] * history[when][pre]
    return sums


def _delayed(delay: Any, history: list[list[int]], step: int, size: int) -> list[int]:
    """What arrives of each pre neuron in a step."""
    late = [_of(delay, pre) for pre in range(size)]
    return [history[step - d][pre] if step >= d else 0 for pre, d in enumerate(late)]


def _step(population: Data, index: int, neuron: _Neuron, current: int) -> int:
    """One neuron through one step; its spikes."""
    bits = population["state_bits"]
    drive = current
    if population["dynamics"] in ("CubaLIF", "CubaLI"):
        before = neuron.g
        neuron.g = _sat(_decay(population["decay_syn"], index, before) + current, bits)
        drive = before if population["drive"] == "old" else neuron.g
    leak = None if population["dynamics"] == "IF" else population["decay"]
    if population["dynamics"] in ("LI", "CubaLI"):
        neuron.start = _decay(leak, index, neuron.v)
        neuron.v = _sat(neuron.start + drive, bits)
        return 0
    fire, sub = (_of(population[name], index) for name in ("fire", "sub"))
    if population.get("adapt") is not None:
        adapt = population["adapt"]
        neuron.a = _sat(_decay(adapt, index, neuron.a) + neuron.spiked * _of(adapt["jump"], index), bits)
        fire, sub = fire + neuron.a, sub + neuron.a
    neuron.start = _started(population, index, neuron, leak, fire, sub)
    u = neuron.start + drive
    spike = int(u > fire)
    if population["reset"] == "next":
        neuron.v = _sat(u, bits)
    elif population["reset"] == "snntorch_same":
        neuron.v = _sat(u - (spike - int(neuron.v > fire)) * sub, bits)
    elif (population.get("max_spikes") or 1) > 1:
        spike = 0
        while u > fire and spike < population["max_spikes"]:
            spike += 1
            u -= sub
        neuron.v = _sat(u, bits)
    else:
        if spike:
            u = _of(population["v_reset"], index) if population["reset_mode"] == "value" else u - sub
        neuron.v = _sat(u, bits)
    if population.get("v_min") is not None:
        neuron.v = max(neuron.v, _of(population["v_min"], index))
    neuron.spiked = spike
    return spike


def _started(population: Data, index: int, neuron: _Neuron, leak: Data | None, fire: int, sub: int) -> int:
    """The membrane of a step before the drive comes on top: decayed, and less the reset that it still owes."""
    if population["reset"] == "next" and population["reset_mode"] == "value":
        return _decay(leak, index, _of(population["v_reset"], index) if neuron.spiked else neuron.v)
    rested = _decay(leak, index, neuron.v)
    if population["reset"] == "next":
        return rested - neuron.spiked * sub
    return rested - int(neuron.v > fire) * sub if population["reset"] == "snntorch_same" else rested


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
