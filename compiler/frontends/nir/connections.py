"""Synapses in the metadata of a NIR file: matrices and kernels, and what is pooled before and behind them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.connectivity import Connectivity, Dense, Quantised
from ...ir.convolution import Convolution
from ...ir.maps import MapShape, Padding, Pair
from ...ir.pooled import Pooled
from ...ir.pooling import Pooling, PoolKind
from .stored import Reader, Stored, read_fields, shrunk, store_fields

CONNECTIVITY = ("weights", "quantised", "convolution", "pool", "pool_after")
"""The entries of a projection that are its connectivity's."""

_CONVOLUTION = ("pre_shape", "stride", "padding", "dilation", "groups")
_POOL = ("kind", "pre_shape", "kernel", "stride", "padding")


def store_connectivity(connectivity: Connectivity) -> Stored:
    """Its weights, and how they are used where they are no matrix [pre, post]."""
    if isinstance(connectivity, Pooled):
        return {"pool": _store_pooling(connectivity.pooling)} | store_connectivity(connectivity.behind)
    stored: Stored = {}
    if connectivity.is_integer:
        stored["quantised"] = store_fields(connectivity.quantised)
    else:
        stored["weights"] = shrunk(connectivity.real)
    if isinstance(connectivity, Convolution):
        stored["convolution"] = {name: _integers(getattr(connectivity, name)) for name in _CONVOLUTION[:-1]}
        stored["convolution"]["groups"] = np.int64(connectivity.groups)
        if connectivity.pool_after is not None:
            stored["pool_after"] = _store_pooling(connectivity.pool_after)
    return stored


def _store_pooling(pooling: Pooling) -> Stored:
    stored: Stored = {name: _integers(getattr(pooling, name)) for name in _POOL[1:]}
    return stored | {"kind": str(pooling.kind)}


def _integers(values: Any) -> Any:
    return shrunk(np.array(values, np.int64))


def read_connectivity(reader: Reader) -> Connectivity:
    """The connectivity of a projection; ModelError for what does not follow the schema."""
    given = read_fields(Quantised, reader, "quantised") if reader.has("quantised") else reader.floats("weights")
    connectivity: Connectivity
    if reader.has("convolution"):
        _check_dimensions(reader, given.shape, 4, "[post channel, pre channel, row, column]")
        form = reader.group("convolution", _CONVOLUTION)
        connectivity = Convolution(
            weights=given,
            pre_shape=_map(form),
            stride=_pair(form, "stride"),
            padding=_padding(form),
            dilation=_pair(form, "dilation"),
            groups=form.integer("groups"),
            pool_after=_read_pooling(reader, "pool_after") if reader.has("pool_after") else None,
        )
    else:
        _check_dimensions(reader, given.shape, 2, "(pre, post)")
        if reader.has("pool_after"):
            raise reader.error("pool_after", "stands behind a convolution", "a matrix")
        connectivity = Dense(weights=given)
    if not reader.has("pool"):
        return connectivity
    return Pooled(pooling=_read_pooling(reader, "pool"), behind=connectivity)


def _check_dimensions(reader: Reader, shape: tuple[int, ...], count: int, meaning: str) -> None:
    if len(shape) != count:
        raise reader.error("weights", f"have the shape {meaning}", shape)


def _read_pooling(parent: Reader, name: str) -> Pooling:
    reader = parent.group(name, _POOL)
    return Pooling(
        kind=PoolKind(reader.choice("kind", PoolKind)),
        pre_shape=_map(reader),
        kernel=_pair(reader, "kernel"),
        stride=_pair(reader, "stride"),
        padding=_padding(reader),
    )


def _map(reader: Reader) -> MapShape:
    shape = reader.shape("pre_shape")
    if len(shape) != 3:
        raise reader.error("pre_shape", "is (channels, rows, columns)", shape)
    return shape[0], shape[1], shape[2]


def _pair(reader: Reader, field: str) -> Pair:
    values = reader.shape(field)
    if len(values) != 2:
        raise reader.error(field, "is two integers, for rows and for columns", values)
    return values[0], values[1]


def _padding(reader: Reader) -> Padding:
    values = reader.integers("padding")
    if values.shape != (2, 2):
        raise reader.error("padding", "is (above, below), (left, right)", values.tolist())
    (above, below), (left, right) = values.tolist()
    return (above, below), (left, right)
