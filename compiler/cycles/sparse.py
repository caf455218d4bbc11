"""Sparse engines of one lane: which of the two models counts the cycles of one."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from ...hdl.engines.engine import SparseContents, SparseFormat
from ...hdl.engines.row_format import RowFormat
from ..ir.arrays import SpikeArray
from ..ir.network import Network
from ..plan.maps import all_in_order
from ..plan.sparse import SparseFolding
from .circuit import Circuit
from .engine_cycles import Events
from .fast_lane import FastModel, run_fast
from .lane import LaneCycles
from .rows import posts_of

FAST_CYCLES = 3
"""Cycles of a population's pass in a fast engine beyond one that is not, without its walker's registers."""


class FastCycles(LaneCycles):
    """The cycles of a fast engine, whose neurons lie in their own order."""

    def __init__(self, form: SparseFormat, contents: SparseContents) -> None:
        super().__init__([(form, contents)], [np.arange(form.neurons.neurons)], queue=0)
        assert isinstance(form.rows, RowFormat)
        assert form.rows.registers is not None
        self._registers = form.rows.registers

    @cached_property
    def _model(self) -> FastModel:
        ((form, contents),) = self._lanes
        return FastModel(
            rows=posts_of(form.rows, contents.rows),
            bases=form.neurons.bases,
            neurons=form.neurons.neurons,
            overlaps=form.neurons.overlaps,
            registers=self._registers,
        )

    def block(self, circuit: Circuit, spikes: SpikeArray, inlet: int) -> int:
        return circuit.block(run_fast(self._model, spikes), inlet)

    def busy(self, events: Events, steps: int, *, wide: bool) -> npt.NDArray[np.float64]:
        """Every population's events and pass take the registers' cycles longer."""
        later = FAST_CYCLES + sum(self._registers)
        populations = len(self._lanes[0][0].neurons.populations)
        return super().busy(events, steps, wide=wide) + steps * populations * later


def sparse_cycles(network: Network, folding: SparseFolding, form: SparseFormat, contents: SparseContents) -> LaneCycles:
    """The cycles of an engine with one lane."""
    if form.neurons.fast:
        return FastCycles(form, contents)
    order = all_in_order(network, folding.populations, folding.orders(network))
    return LaneCycles([(form, contents)], [np.arange(form.neurons.neurons) if order is None else order], queue=0)
