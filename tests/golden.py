"""Golden cases of the arithmetic contract as integer networks (every file of `golden/`, formats 1 and 2)."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from spikeloom.compiler.ir.connectivity import Connectivity, Dense, Quantised
from spikeloom.compiler.ir.convolution import Convolution
from spikeloom.compiler.ir.maps import Padding
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import MODELS, Decay, Drive, IntegerDynamics, Kind, ResetMode, ResetPlace, Rounding
from spikeloom.compiler.ir.pooled import Pooled
from spikeloom.compiler.ir.pooling import Pooling, PoolKind
from spikeloom.compiler.ir.readout import ReadBy, Readout

ROOT = Path(__file__).resolve().parent.parent
FORMATS = (1, 2)

IMPLEMENTED = frozenset(
    {
        *("IF", "LIF", "CubaLIF", "LI", "ALIF", "recurrence", "delays", "floor", "several spikes per step"),
        *("convolution", "grouped convolution", "sum pooling", "max pooling"),
        *("sum pooling of currents", "max pooling of currents"),
    }
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


SHARE = Path(__file__).with_name("golden_share")
"""Some of the cases, which every clone has."""


def whole_set() -> Path:
    """Where all cases are: `$SPIKELOOM_SHARED/golden`; it may be absent."""
    return ROOT / os.environ.get("SPIKELOOM_SHARED", "../shared") / "golden"


def golden_folder() -> Path:
    """Where the cases are taken from: all of them, or where these are absent the share that is here."""
    return whole_set() if whole_set().is_dir() else SHARE


def golden_entries() -> list[dict[str, Any]]:
    """The data of the cases that need only what the IR has, file by file."""
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


def network_of(entry: dict[str, Any], *, fold: bool = True) -> Network:
    """The network of a case's data; without `output` the last population is read out, without `bits` those that a
    projection's weights need, without `readout` by spikes or the sum of membranes. Sums of a convolution's sums are
    larger kernels, unless told not to `fold` them."""
    shapes = {INPUT: _shape(entry["input"])} | {p["name"]: _shape(p) for p in entry["populations"]}
    return Network(
        input_shape=_shape(entry["input"]),
        populations=tuple(_population(p) for p in entry["populations"]),
        projections=tuple(_projection(p, shapes, fold) for p in entry["projections"]),
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
    decays = MODELS[kind].decays
    dynamics = IntegerDynamics(
        kind=kind,
        fire=entry["fire"],
        sub=entry["sub"],
        v_reset=entry["v_reset"],
        v_min=entry.get("v_min"),
        max_spikes=entry.get("max_spikes"),
        jump=None if adapt is None else adapt["jump"],
        decay=_decay(entry["decay"]) if "decay" in decays else None,
        decay_syn=_decay(entry["decay_syn"]) if "decay_syn" in decays else None,
        decay_a=None if adapt is None else _decay(adapt),
        drive=Drive(entry["drive"]),
        reset_mode=ResetMode(entry["reset_mode"]),
        reset_place=ResetPlace(entry["reset"]),
        state_bits=entry["state_bits"],
    )
    return Population(name=entry["name"], shape=_shape(entry), dynamics=dynamics, bias=entry["bias"])


def _decay(entry: dict[str, Any]) -> Decay:
    return Decay(c=entry["c"], k=entry["k"], rounding=Rounding(entry["rounding"]))


def _shape(entry: dict[str, Any]) -> tuple[int, ...]:
    return tuple(entry.get("shape", (entry["size"],)))


def _projection(entry: dict[str, Any], shapes: dict[str, tuple[int, ...]], fold: bool) -> Projection:
    codes = np.array(entry["kernel"] if "kernel" in entry else entry["weights"], np.int64)
    bits = entry.get("bits", max(2, int(np.abs(codes).max(initial=0)).bit_length() + 1))
    pooling = _pooling(entry.get("pool"), shapes[entry["pre"]])
    inputs = shapes[entry["pre"]] if pooling is None else pooling.post_shape
    connectivity = _connectivity(entry, Quantised(codes=codes, bits=bits), inputs, fold)
    if pooling is not None:
        connectivity = Pooled(pooling=pooling, behind=connectivity)
    return Projection(
        pre=entry["pre"],
        post=entry["post"],
        connectivity=connectivity,
        delay=_delay(np.array(entry["delay"]), connectivity),
        shift=entry["shift"],
    )


def _connectivity(entry: dict[str, Any], weights: Quantised, inputs: tuple[int, ...], fold: bool) -> Connectivity:
    if "kernel" not in entry:
        return Dense(weights=weights)
    plain = Convolution(
        weights=weights,
        pre_shape=inputs,  # type: ignore[arg-type]
        stride=tuple(entry["stride"]),
        padding=_around(entry["padding"]),
        dilation=tuple(entry["dilation"]),
        groups=entry["groups"],
    )
    pooled = replace(plain, pool_after=_pooling(entry.get("pool_after"), plain.sum_shape))
    return pooled.folded() if fold else pooled


def _pooling(entry: dict[str, Any] | None, inputs: tuple[int, ...]) -> Pooling | None:
    if entry is None:
        return None
    return Pooling(
        kind=PoolKind(entry["kind"]),
        pre_shape=inputs,  # type: ignore[arg-type]
        kernel=tuple(entry["kernel"]),
        stride=tuple(entry["stride"]),
        padding=_around(entry["padding"]),
    )


def _around(padding: list[Any]) -> Padding:
    """Above and below, left and right, of one number for both sides or of two."""
    (above, below), (left, right) = ((p, p) if isinstance(p, int) else p for p in padding)
    return (above, below), (left, right)


def _delay(delay: npt.NDArray[np.int64], connectivity: Connectivity) -> npt.NDArray[np.int64]:
    """A delay for each pre neuron is one for each of its synapses, where these have their own."""
    if delay.ndim == 1 and connectivity.one_per_pair:
        return np.broadcast_to(delay[:, None], connectivity.shape)
    return delay
