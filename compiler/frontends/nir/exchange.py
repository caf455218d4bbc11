"""NIR's exchange of spikes (`nir.NIRGraphData`, in HDF5): samples out of such a file, and recordings into one.

A node of the file has observables, each on a time grid [samples, steps, neurons] with its time step, or as events of a
neuron and a time. Read by our own code from the checked file; strings in attributes are left alone.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from ....hdl.errors import InputError, SampleError, quoted
from ....hdl.staging import replacement
from ...data.samples import Samples, samples_of
from ...ir.network import INPUT, Network
from .hdf5_guard import CheckedFile, library_errors, open_checked
from .view import node_names

INPUT_NODE = "input"
SPIKES, MEMBRANES = "spikes", "membranes"
MAX_VALUES = 1 << 28
"""So many bins events may lie in."""

_SAME_STEP = 1e-6
"""Time steps are the same within this share; times of events are taken that much later."""


def read_exchange(path: str | Path, network: Network) -> Samples:
    """The samples of a file that holds a `NIRGraphData`: those of its only node, or of the one called `input`.

    Of a node's observables the only one counts, or `spikes`. Events at one time of one neuron add up, and are put into
    steps of the network's dt. Raises InputError for a file that is unreadable or hostile, SampleError for spikes that
    do not suit the network.
    """
    with open_checked(path) as file, library_errors(str(path)):
        group = _observable(file)
        if "data" in group:
            spikes = _array(file, group, "data", 3)
            _check_step(_number(group, "dt"), network)
        else:
            spikes = _gridded(file, group, network)
    return samples_of(_whole(spikes), network)


def _observable(file: CheckedFile) -> h5py.Group:
    nodes = file.root.get("nodes")
    if not isinstance(nodes, h5py.Group):
        raise SampleError(
            "samples of NIR are a NIRGraphData, which holds nodes: this file has none; write it with nir.write_data"
        )
    found = {name: node["observables"] for name, node in nodes.items() if _has_group(node, "observables")}
    node = _one(found, INPUT_NODE, "nodes with observables")
    return _one({name: item for name, item in node.items() if isinstance(item, h5py.Group)}, SPIKES, "observables")


def _has_group(node: Any, name: str) -> bool:
    return isinstance(node, h5py.Group) and isinstance(node.get(name), h5py.Group)


def _one(found: Mapping[str, h5py.Group], name: str, what: str) -> h5py.Group:
    if len(found) == 1:
        return next(iter(found.values()))
    if name not in found:
        listed = ", ".join(quoted(n) for n in sorted(found)[:4]) or "none"
        raise SampleError(f"samples are the only one of a file's {what}, or {name!r}: it has {listed}; rename one")
    return found[name]


def _array(file: CheckedFile, group: h5py.Group, name: str, dims: int) -> npt.NDArray[Any]:
    item = group.get(name)
    if not isinstance(item, h5py.Dataset) or len(item.shape) != dims:
        raise SampleError(f"{name!r} of an observable has {dims} dimensions: this one has not; write it again")
    return file.array(item)


def _number(group: h5py.Group, name: str) -> float:
    """A numeric attribute."""
    stored = group.attrs.get_id(name) if name in group.attrs else None
    if stored is None or stored.shape != () or stored.dtype.kind not in "iuf":
        raise SampleError(f"an observable has a number {name!r}: this one has none; write it with nir.write_data")
    value = float(group.attrs[name])
    if not math.isfinite(value):
        raise SampleError(f"an observable's {name!r} is finite: this one's is {value}")
    return value


def _check_step(dt: float, network: Network) -> None:
    if network.dt is not None and abs(dt / network.dt - 1) > _SAME_STEP:
        raise SampleError(
            f"samples have the network's time step, {network.dt:g} s: these have {dt:g} s; resample them, or give --dt"
        )


def _gridded(file: CheckedFile, group: h5py.Group, network: Network) -> npt.NDArray[Any]:
    """Events on the network's time grid, [samples, steps, neurons]."""
    if network.dt is None:
        raise SampleError(
            "events have times, and the network's time step is not known: put them on a grid with "
            "EventData.to_time_gridded(dt)"
        )
    index, time = (_array(file, group, name, 2) for name in ("idx", "time"))
    value = _array(file, group, "value", 2) if "value" in group else np.ones(index.shape)
    if index.shape != time.shape or index.shape != value.shape or index.dtype.kind not in "iu":
        raise SampleError("events have a neuron's number and a time each: these have not; write them again")
    neurons, steps = _number(group, "n_neurons"), round(_number(group, "t_max") / network.dt)
    if not 0 < len(index) * steps * neurons <= MAX_VALUES:
        raise SampleError(
            f"events lie in 1 to {MAX_VALUES} bins: those of {len(index)} samples, {steps} steps and {neurons:g} "
            "neurons do not"
        )
    there = index >= 0  # -1 fills up
    step = np.floor(time[there] / network.dt + _SAME_STEP)
    if not np.all((step >= 0) & (step < steps) & (index[there] < neurons)):
        raise SampleError("events lie within n_neurons and t_max: some do not; write them again")
    spikes = np.zeros((len(index), steps, int(neurons)), np.int32)
    where = np.nonzero(there)[0], step.astype(np.int64), index[there].astype(np.int64)
    np.add.at(spikes, where, _whole(value[there]).astype(np.int32))
    return spikes


def _whole(spikes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if spikes.dtype.kind != "f":
        return spikes
    if not np.all(np.isfinite(spikes)) or np.any(spikes != np.round(spikes)) or np.any(np.abs(spikes) > 255):
        raise SampleError("spikes are whole numbers: these are not; round or encode them first")
    return spikes.astype(np.int16)


def write_exchange(
    path: str | Path,
    network: Network,
    spikes: Mapping[str, npt.NDArray[Any]],
    membranes: Mapping[str, npt.NDArray[Any]] | None = None,
) -> None:
    """Write spikes [samples, steps, neurons] by population, and of the input under `INPUT`, as `NIRGraphData`.

    `membranes` become a second observable of their populations. Nodes are called as in the network's NIR file, the
    time step is the network's, 1 where it is not known. Raises InputError where the file cannot be written.
    """
    import nir

    dt = 1.0 if network.dt is None else network.dt
    names = node_names(network) | {INPUT: INPUT_NODE}
    nodes = {}
    for name, train in spikes.items():
        observables = {SPIKES: nir.TimeGriddedData(train.astype(bool) if train.max(initial=0) <= 1 else train, dt)}
        if membranes is not None and name in membranes:
            observables[MEMBRANES] = nir.TimeGriddedData(np.asarray(membranes[name]), dt)
        nodes[names[name]] = nir.NIRNodeData(observables)
    image = io.BytesIO()
    try:
        nir.write_data(image, nir.NIRGraphData(nodes))
        with replacement(Path(path)) as part:
            part.write_bytes(image.getvalue())
    except OSError as error:
        raise InputError(
            f"the file must be writable: {quoted(str(path))} is not ({error.strerror or error})"
        ) from error
