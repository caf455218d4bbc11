"""How each kind of engine stores its synapses, as the report says it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...hdl.engines.bitmap_format import BitmapFormat
from ...hdl.engines.engine import Rows, SparseFormat
from ...hdl.engines.lanes import LanesFormat
from ...hdl.engines.slotted_format import SlottedFormat
from ...hdl.engines.vector import VectorFormat
from ...hdl.engines.wide_format import WideFormat
from ..plan.kinds import PerKind


def _sparse(form: SparseFormat) -> dict[str, Any]:
    return _rows([form.rows])


def _lanes(form: LanesFormat) -> dict[str, Any]:
    return _rows([lane.rows for lane in form.lanes])


def _rows(forms: Sequence[Rows]) -> dict[str, Any]:
    """Of several lanes the encoding of the first, but the entries of all."""
    form = forms[0]
    return {
        "index_bits": None if isinstance(form, BitmapFormat) else form.index_bits,
        "chunk_bits": form.chunk_bits if isinstance(form, BitmapFormat) else None,
        "code_bits": form.code_bits,
        "levels": None if form.levels is None else len(set(form.levels)),
        "group": form.group,
        "align": form.align,
        "uniform": form.uniform,
        "entries": sum(form.entries for form in forms),
    }


def _vector(form: VectorFormat) -> dict[str, Any]:
    return _weights(form.neurons.weight_bits, form.pre * form.neurons.neurons, uniform=True)


def _wide(form: WideFormat) -> dict[str, Any]:
    """As the rows of a vector engine, word by word."""
    return _weights(form.neurons.weight_bits, form.weight_words * form.lanes, uniform=len(form.rows) == 1)


def _slotted(form: SlottedFormat) -> dict[str, Any]:
    """Slots of words, with the place of a neuron in its bank in each."""
    row = _weights(form.neurons.weight_bits, form.words * form.slots, uniform=False)
    return row | {"index_bits": form.place_bits}


def _weights(bits: int, entries: int, *, uniform: bool) -> dict[str, Any]:
    """Of rows that say no neuron's number: weights alone."""
    return {
        "index_bits": 0,
        "chunk_bits": None,
        "code_bits": bits,
        "levels": None,
        "group": 1,
        "align": 0,
        "uniform": uniform,
        "entries": entries,
    }


ENCODINGS: PerKind[Callable[..., dict[str, Any]]] = PerKind(
    sparse=_sparse, lanes=_lanes, vector=_vector, wide=_wide, slotted=_slotted
)
"""The report's entry `encoding` of each kind of engine, from its format."""
