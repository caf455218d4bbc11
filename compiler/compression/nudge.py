"""Codes of recurrent populations, nudged until they keep the original's spikes.

Where spikes come back, one that is wrong makes others wrong. So much more is asked of a recurrent population than small
errors of membranes: that it fires as the original did when it hears what the original said. Where that holds for all
populations in all steps, the network fires as the original by induction over the steps.

With resets where the original fired, a membrane is a linear function of the codes and the bias into its neuron. Codes
go up or down by one, the bias by a fraction of that, as long as membranes on the wrong side of the threshold, or too
near to it, become fewer or nearer; absent synapses stay absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ir.arrays import FloatArray, IntArray
from ..ir.connectivity import Dense
from ..ir.network import INPUT, Network, Population, Projection
from ..ir.neurons import Drive, IntegerDynamics, ResetMode, ResetPlace
from ..lowering.scales import largest_code

Trains = Mapping[str, npt.NDArray[Any]]
"""Spikes [steps, samples, neurons] by population, and of the input."""

MARGIN = 0.05
"""How far from the threshold, as a share of it, a membrane is far enough."""

MAX_VALUES = 1 << 24
"""Neurons times steps times samples times synapses that are looked at; further samples are left out."""


def nudged(network: Network, wanted: Trains) -> Network:
    """The integer network with other codes and biases in its recurrent populations, where they suit `wanted` better."""
    populations, projections = list(network.populations), list(network.projections)
    for index, population in enumerate(network.populations):
        into = [number for number, p in enumerate(network.projections) if p.post == population.name]
        given = [network.projections[number] for number in into]
        if not any(network.is_recurrent(p) for p in given) or not _suits(population, given):
            continue
        bias, codes = _nudged(population, given, wanted)
        populations[index] = replace(population, bias=bias)
        rows = np.cumsum([len(p.connectivity.codes) for p in given])[:-1]
        for number, projection, part in zip(into, given, np.split(codes, rows), strict=True):
            quantised = replace(projection.connectivity.quantised, codes=part)
            projections[number] = replace(projection, connectivity=projection.connectivity.with_codes(quantised))
    return replace(network, populations=tuple(populations), projections=tuple(projections))


def _suits(population: Population, into: Sequence[Projection]) -> bool:
    """Whether membranes are linear in codes of more than signs."""
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    plain = dynamics.v_min is None and dynamics.jump is None and population.max_spikes == 1
    matrices = all(isinstance(p.connectivity, Dense) and not p.delay.ndim for p in into)
    whole = all(p.connectivity.quantised.scheme == "fixed_point" and p.connectivity.quantised.bits > 2 for p in into)
    return population.fires and plain and matrices and whole


def _nudged(population: Population, into: Sequence[Projection], wanted: Trains) -> tuple[IntArray, IntArray]:
    """The bias (n,) and the codes [fan-in, n] that suit what is wanted."""
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    codes = np.concatenate([p.connectivity.codes for p in into])
    bias = np.broadcast_to(population.bias, (population.size,)).copy()
    steps, samples = wanted[INPUT].shape[:2]
    count = max(1, min(samples, MAX_VALUES // (population.size * steps * len(codes))))
    arriving = np.concatenate([_arriving(p, wanted, count) for p in into], axis=2)
    fired = wanted[population.name][:, :count].astype(bool)
    largest = [largest_code(p.connectivity.quantised.bits) for p in into]
    limits = np.repeat(largest, [len(p.connectivity.codes) for p in into])
    fraction = max(1, (1 << min(p.shift for p in into)) // 4)
    low, high = -(1 << dynamics.state_bits - 1), (1 << dynamics.state_bits - 1) - 1
    for neuron in range(population.size):
        response = _Response.of(dynamics, neuron, arriving, fired[:, :, neuron])
        best, offset = response.descend(codes[:, neuron], int(bias[neuron]), limits, fraction)
        codes[:, neuron], bias[neuron] = best, np.clip(offset, low, high)
    return bias, codes


def _arriving(projection: Projection, wanted: Trains, count: int) -> FloatArray:
    """What a code of 1 adds in each step, in membrane units, [steps, samples, pre]."""
    spikes = np.asarray(wanted[projection.pre][:, :count], np.float64) * (1 << projection.shift)
    delay = int(projection.delay)
    return np.concatenate([np.zeros_like(spikes[:delay]), spikes[:-delay]])[: len(spikes)] if delay else spikes


@dataclass(frozen=True, eq=False)
class _Response:
    """The compared membranes of a neuron, where it resets as wanted, [steps * samples].

    `rest` for codes and a bias of 0, and what each code and, in the last column, the bias of 1 adds [.., fan-in + 1];
    `signs` are 1 where it shall fire and -1 elsewhere, `threshold` what lies between.
    """

    rest: FloatArray
    parts: FloatArray
    signs: npt.NDArray[np.floating[Any]]
    threshold: float

    @classmethod
    def of(
        cls, dynamics: IntegerDynamics, neuron: int, arriving: FloatArray, fired: npt.NDArray[np.bool_]
    ) -> _Response:
        steps, samples, inputs = arriving.shape
        ones = np.ones((steps, samples, 1))
        drive = np.concatenate([arriving, ones, np.zeros((steps, samples, 1))], axis=2)  # the last part: resets alone
        if dynamics.decay_syn is not None:
            drive = _leaky(drive, _of(dynamics.decay_syn.kept, neuron))
            if dynamics.drive is Drive.OLD:
                drive = np.concatenate([np.zeros_like(drive[:1]), drive[:-1]])
        kept = 1.0 if dynamics.decay is None else _of(dynamics.decay.kept, neuron)
        parts = np.empty_like(drive)
        v = np.zeros_like(drive[0])
        value = dynamics.reset_mode is ResetMode.VALUE
        late = dynamics.reset_place is ResetPlace.NEXT
        sub, v_reset = (_of(x, neuron) for x in (dynamics.sub, dynamics.v_reset))
        reset_to = np.zeros(inputs + 2)
        reset_to[-1] = v_reset
        for t in range(steps):
            parts[t] = kept * v + drive[t]
            s = fired[t][:, None]
            if value:
                v = np.where(s, reset_to, parts[t])
            else:
                v = parts[t].copy()
                v[:, -1] -= sub / (kept if late and kept else 1.0) * fired[t]
        flat = parts.reshape(steps * samples, -1)
        return cls(flat[:, -1], flat[:, :-1], 2.0 * fired.reshape(-1) - 1, _of(dynamics.fire, neuron) + 0.5)

    def descend(self, codes: IntArray, bias: int, limits: IntArray, fraction: int) -> tuple[IntArray, int]:
        """Codes and a bias with fewer membranes on the wrong side of the threshold or too near to it."""
        codes, margin = codes.copy(), MARGIN * abs(self.threshold)
        distance = self.signs * (self.rest + self.parts @ np.append(codes, bias) - self.threshold)
        up = self.signs[:, None] * np.concatenate([self.parts[:, :-1], fraction * self.parts[:, -1:]], axis=1)
        least = float(np.maximum(0, margin - distance).sum())
        while least > 0:
            near = distance < margin + np.abs(up).max(axis=1)  # a move takes no other below the margin
            errors = [np.maximum(0, margin - distance[near, None] - sign * up[near]).sum(axis=0) for sign in (1, -1)]
            for error, sign in zip(errors, (1, -1), strict=True):
                error[:-1][(codes == 0) | (codes == -sign) | (sign * codes >= limits)] = np.inf
            sign = 1 if errors[0].min() <= errors[1].min() else -1
            error = errors[0] if sign == 1 else errors[1]
            move = int(error.argmin())
            if not error[move] < least * (1 - 1e-9):
                break
            least = float(error[move])
            distance = distance + sign * up[:, move]
            if move < len(codes):
                codes[move] += sign
            else:
                bias += sign * fraction
        return codes, bias


def _of(values: IntArray | FloatArray, neuron: int) -> float:
    """A constant of one neuron."""
    return float(values[neuron] if values.ndim else values)


def _leaky(values: FloatArray, kept: float) -> FloatArray:
    """Sums over steps, of which each step keeps a share."""
    result = np.empty_like(values)
    total = np.zeros_like(values[0])
    for t, value in enumerate(values):
        result[t] = total = kept * total + value
    return result
