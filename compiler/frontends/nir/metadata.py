"""Spikeloom's metadata in a NIR file: a network in full, or only the conventions that NIR leaves open.

The graph's metadata has a group `spikeloom` with `version` and either `network`, every field of the IR under its own
name (docs/nir.md has the schema), or any of `dialect`, `dt`, `reset`, `reset_delay`, `fire`, `tau`, `x_max`, `x_min`
and `max_spikes`. Nothing in it is trusted: types, ranges and names are checked here, the network's rules by the
verifier.
"""

from __future__ import annotations

import h5py
import numpy as np

from ...ir.network import INPUT, Network, Population, Projection
from ...ir.neurons import MODELS, Dynamics, IntegerDynamics
from ...ir.origin import ERRORS, Compression, Judged, Origin
from ...ir.readout import Readout
from .connections import CONNECTIVITY, read_connectivity, store_connectivity
from .dialects import Options
from .hdf5_guard import CheckedFile
from .stored import VERSION, Reader, Stored, read_fields, read_instance, shrunk, store_fields

INPUT_INDEX = -1
"""What a projection's `pre` holds for the network's input; populations are numbered from 0."""

_DYNAMICS: dict[str, type[Dynamics]] = {
    cls.__name__: cls for cls in (*(model.dynamics for model in MODELS.values()), IntegerDynamics)
}
_CONVENTIONS = ("dialect", "dt", "reset", "reset_delay", "fire", "tau", "x_max", "x_min", "max_spikes")
_NETWORK = (
    *("name", "dialect", "dtype", "dt", "x_max", "x_min", "input_shape", "output", "readout", "origin"),
    *("populations", "projections"),
)
_ORIGIN = ("steps", "original", "compressed", "errors")
_COMPRESSION = ("method", "sparsity", "bits", "scheme", "layers")
_POPULATION = ("name", "shape", "bias", "model", "dynamics")
_PROJECTION = (*CONNECTIVITY, "pre", "post", "delay", "shift", "step_edge")


# ----------------------------------------------------------------------------------------------------- writing


def network_metadata(network: Network) -> Stored:
    """The whole network as nested dictionaries of strings and arrays, which is what NIR metadata can hold."""
    index = {p.name: i for i, p in enumerate(network.populations)} | {INPUT: INPUT_INDEX}
    stored: Stored = {
        "name": network.name,
        "dialect": network.dialect,
        "dtype": network.dtype,
        "x_max": np.int64(network.x_max),
        "input_shape": shrunk(np.array(network.input_shape, np.int64)),
        "output": np.int64(index[network.output]),
        "populations": {str(i): _store_population(p) for i, p in enumerate(network.populations)},
        "projections": {str(i): _store_projection(p, index) for i, p in enumerate(network.projections)},
    }
    if network.x_min:
        stored["x_min"] = np.int64(network.x_min)
    if network.dt is not None:
        stored["dt"] = np.float64(network.dt)
    if network.readout is not None:
        stored["readout"] = store_fields(network.readout)
    if network.origin is not None:
        stored["origin"] = _store_origin(network.origin)
    return {"version": np.int64(VERSION), "network": stored}


def _store_population(population: Population) -> Stored:
    return {
        "name": population.name,
        "shape": shrunk(np.array(population.shape, np.int64)),
        "bias": shrunk(population.bias),
        "model": type(population.dynamics).__name__,
        "dynamics": store_fields(population.dynamics),
    }


def _store_projection(projection: Projection, index: dict[str, int]) -> Stored:
    stored: Stored = {
        "pre": np.int64(index[projection.pre]),
        "post": np.int64(index[projection.post]),
        "delay": shrunk(projection.delay),
        "shift": np.int64(projection.shift),
    }
    if projection.step_edge:
        stored["step_edge"] = np.int64(1)
    return stored | store_connectivity(projection.connectivity)


def _store_origin(origin: Origin) -> Stored:
    stored: Stored = {"steps": {str(i): store_fields(step) for i, step in enumerate(origin.steps)}}
    for name, judged in (("original", origin.original), ("compressed", origin.compressed)):
        if judged is not None:
            stored[name] = store_fields(judged)
    return stored | ({"errors": np.array(origin.errors, np.float64)} if origin.errors else {})


# ----------------------------------------------------------------------------------------------------- reading


def holds_network(group: h5py.Group) -> bool:
    """Whether the metadata holds a network; else it holds conventions at most."""
    return "network" in group


def read_conventions(file: CheckedFile, group: h5py.Group) -> Options:
    """The conventions in the metadata of a file that holds no network; OptionError where they are not valid."""
    reader = Reader(file, group, ("version", *_CONVENTIONS))
    reader.check_version()
    return Options(
        dialect=reader.text("dialect") if reader.has("dialect") else None,
        dt=reader.number("dt") if reader.has("dt") else None,
        reset=reader.text("reset") if reader.has("reset") else None,
        reset_delay=bool(reader.integer("reset_delay")) if reader.has("reset_delay") else None,
        fire=reader.text("fire") if reader.has("fire") else None,
        tau=reader.text("tau") if reader.has("tau") else None,
        x_max=reader.integer("x_max") if reader.has("x_max") else None,
        x_min=reader.integer("x_min") if reader.has("x_min") else None,
        max_spikes=reader.integer("max_spikes") if reader.has("max_spikes") else None,
    )


def read_network(file: CheckedFile, group: h5py.Group) -> Network:
    """The network in the metadata, field by field; ModelError for anything that is missing, unknown or mistyped.

    The rules of the IR are left to the verifier.
    """
    outer = Reader(file, group, ("version", "network"))
    outer.check_version()
    reader = outer.group("network", _NETWORK)
    populations = tuple(_read_population(r) for r in reader.numbered("populations", _POPULATION))
    names = [p.name for p in populations]
    return Network(
        name=reader.text("name"),
        dialect=reader.text("dialect"),
        dtype=reader.text("dtype"),
        dt=reader.number("dt") if reader.has("dt") else None,
        x_max=reader.integer("x_max"),
        x_min=reader.integer("x_min") if reader.has("x_min") else 0,
        input_shape=reader.shape("input_shape"),
        output=_name(reader, "output", names),
        readout=read_fields(Readout, reader, "readout") if reader.has("readout") else None,
        origin=_read_origin(reader.group("origin", _ORIGIN)) if reader.has("origin") else None,
        populations=populations,
        projections=tuple(_read_projection(r, names) for r in reader.numbered("projections", _PROJECTION)),
    )


def _read_origin(reader: Reader) -> Origin:
    errors = reader.floats("errors") if reader.has("errors") else np.zeros((0, len(ERRORS)))
    if errors.ndim != 2:
        raise reader.error("errors", "have the shape (populations, errors)", errors.shape)
    if errors.shape[1] == len(ERRORS) - 1:  # older files know of no leak of an adaptation
        errors = np.pad(errors, ((0, 0), (0, 1)))
    return Origin(
        steps=tuple(read_instance(Compression, r) for r in reader.numbered("steps", _COMPRESSION)),
        original=read_fields(Judged, reader, "original") if reader.has("original") else None,
        compressed=read_fields(Judged, reader, "compressed") if reader.has("compressed") else None,
        errors=tuple(tuple(row) for row in errors.tolist()),
    )


def _read_population(reader: Reader) -> Population:
    model = reader.text("model")
    if model not in _DYNAMICS:
        raise reader.error("model", f"is one of {', '.join(_DYNAMICS)}", model)
    dynamics = read_fields(_DYNAMICS[model], reader, "dynamics")
    integer = isinstance(dynamics, IntegerDynamics)
    bias = reader.integers("bias") if integer else reader.floats("bias")
    return Population(name=reader.text("name"), shape=reader.shape("shape"), dynamics=dynamics, bias=bias)


def _read_projection(reader: Reader, names: list[str]) -> Projection:
    return Projection(
        pre=_name(reader, "pre", names, or_input=True),
        post=_name(reader, "post", names),
        connectivity=read_connectivity(reader),
        delay=reader.integers("delay"),
        shift=reader.integer("shift"),
        step_edge=_is_step_edge(reader),
    )


def _is_step_edge(reader: Reader) -> bool:
    """Whether the projection says that it is one; older files, without a word for it, say so by a delay."""
    if not reader.has("step_edge"):
        return False
    value = reader.integer("step_edge")
    if value != 1:
        raise reader.error("step_edge", "is 1, or absent where spikes act in their own step", value)
    return True


def _name(reader: Reader, field: str, names: list[str], or_input: bool = False) -> str:
    index = reader.integer(field)
    if or_input and index == INPUT_INDEX:
        return INPUT
    if not 0 <= index < len(names):
        raise reader.error(field, "is the number of a population", index)
    return names[index]
