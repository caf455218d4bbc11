"""Golden cases of the arithmetic contract as integer networks (every file of `golden/`, formats 1 and 2)."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import Network, Population, Projection
from spikeloom.compiler.ir.neurons import Decay, Drive, IntegerDynamics, Kind, ResetMode, ResetPlace, Rounding
from spikeloom.compiler.ir.readout import ReadBy, Readout

ROOT = Path(__file__).resolve().parent.parent
FORMATS = (1, 2)

IMPLEMENTED = frozenset(
    {"IF", "LIF", "CubaLIF", "LI", "ALIF", "recurrence", "delays", "floor", "several spikes per step"}
)
"""What the IR has, in the words of the cases' `needs`."""


@dataclass(frozen=True, eq=False)
class GoldenCase:
    """One case: what goes in, and the spikes and membranes [sample, step, neuron] that must come out by population."""

    name: str
    needs: frozenset[str]
    network: Network
    spikes: npt.NDArray[np.uint8]
    expected: dict[str, tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]


def golden_folder() -> Path:
    """Where the cases are: `$SPIKELOOM_SHARED/golden`; it may be absent."""
    return ROOT / os.environ.get("SPIKELOOM_SHARED", "../shared") / "golden"


def golden_entries() -> list[dict[str, Any]]:
    """The data of the cases that need only what the IR has, file by file; none where there are no files."""
    return [entry for entry in _all_entries() if not lacking(entry)]


def entries_ahead() -> list[dict[str, Any]]:
    """The data of the other cases."""
    return [entry for entry in _all_entries() if lacking(entry)]


def lacking(entry: dict[str, Any]) -> list[str]:
    """What a case needs and the IR does not have yet."""
    return sorted(set(entry["needs"]) - IMPLEMENTED)


def golden_cases() -> list[GoldenCase]:
    """The cases that need only what the IR has."""
    return [_case(entry) for entry in golden_entries()]


@functools.cache
def _all_entries() -> list[dict[str, Any]]:
    entries = []
    for file in sorted(golden_folder().glob("*.json")):
        document = json.loads(file.read_text())
        if document["format"] not in FORMATS:
            raise ValueError(f"{file} has format {document['format']}, this loader knows {FORMATS}")
        entries += document["cases"]
    return entries


def network_of(entry: dict[str, Any]) -> Network:
    """The network of a case's data; without `output` the last population is read out, without `bits` those that a
    projection's weights need, without `readout` by spikes or the sum of membranes."""
    return Network(
        input_shape=(entry["input"]["size"],),
        populations=tuple(_population(p) for p in entry["populations"]),
        projections=tuple(_projection(p) for p in entry["projections"]),
        output=entry.get("output", entry["populations"][-1]["name"]),
        x_max=entry["input"]["x_max"],
        name=entry["name"],
        readout=None if entry.get("readout") is None else Readout(by=ReadBy(entry["readout"])),
    )


def _case(entry: dict[str, Any]) -> GoldenCase:
    network = network_of(entry)
    expected = {
        name: (np.array(record["spikes"], np.uint8), np.array(record["membranes"], np.int64))
        for name, record in entry["expected"].items()
    }
    spikes = np.array(entry["input"]["spikes"], np.uint8)
    return GoldenCase(entry["name"], frozenset(entry["needs"]), network, spikes, expected)


def _population(entry: dict[str, Any]) -> Population:
    kind, adapt = Kind(entry["dynamics"]), entry.get("adapt")
    dynamics = IntegerDynamics(
        kind=kind,
        fire=entry["fire"],
        sub=entry["sub"],
        v_reset=entry["v_reset"],
        v_min=entry.get("v_min"),
        max_spikes=entry.get("max_spikes"),
        jump=None if adapt is None else adapt["jump"],
        decay=None if kind is Kind.IF else _decay(entry["decay"]),
        decay_syn=_decay(entry["decay_syn"]) if kind is Kind.CUBALIF else None,
        decay_a=None if adapt is None else _decay(adapt),
        drive=Drive(entry["drive"]),
        reset_mode=ResetMode(entry["reset_mode"]),
        reset_place=ResetPlace(entry["reset"]),
        state_bits=entry["state_bits"],
    )
    return Population(name=entry["name"], shape=(entry["size"],), dynamics=dynamics, bias=entry["bias"])


def _decay(entry: dict[str, Any]) -> Decay:
    return Decay(c=entry["c"], k=entry["k"], rounding=Rounding(entry["rounding"]))


def _projection(entry: dict[str, Any]) -> Projection:
    codes = np.array(entry["weights"], np.int64)
    bits = entry.get("bits", max(2, int(np.abs(codes).max(initial=0)).bit_length() + 1))
    return Projection(
        pre=entry["pre"],
        post=entry["post"],
        connectivity=Dense(weights=Quantised(codes=codes, bits=bits)),
        delay=_delay(np.array(entry["delay"]), codes.shape),
        shift=entry["shift"],
    )


def _delay(delay: npt.NDArray[np.int64], shape: tuple[int, int]) -> npt.NDArray[np.int64]:
    """A delay for each pre neuron is one for each of its synapses."""
    return np.broadcast_to(delay[:, None], shape) if delay.ndim == 1 else delay
