"""A sparse engine: compressed rows or bitmaps, one synapse per cycle, of one population or of several in turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from ...hdl.engines.engine import SparseContents, SparseFormat
from ...hdl.errors import quoted
from ...hdl.memories.memory import Family
from ..encodings.cost import Scarce
from ..encodings.rows import encode_rows
from ..ir.network import Network
from .engine_folding import EngineFolding, EngineKind, Monitor
from .weights import EngineWeights

SKIPPED_MEMBRANES = (
    "membranes leave an engine that passes in every step: that of {population} skips; the nearest does not"
)

ONLY_VECTOR = "only a vector engine has {name}: the engine of {first} is sparse; leave it out"


@dataclass(frozen=True, kw_only=True)
class SparseFolding(EngineFolding):
    """One engine (`spikeloom.hdl.engines.engine`) for one population, or for several in turn.

    With `spram` its weights lie in the SPRAM of an iCE40UP5K, else in block RAM. `scarce` is what it saves. If it
    `skips`, it leaves out passes that would change nothing, for about 25 logic cells.
    """

    spram: bool = False
    scarce: Scarce = Scarce.BRAMS
    skips: bool = False

    kind = EngineKind.SPARSE
    returns: ClassVar[bool] = True
    lanes: ClassVar[int] = 1
    refused: ClassVar[Mapping[str, str]] = {"events_per_beat": ONLY_VECTOR, "neurons_per_cycle": ONLY_VECTOR}

    @property
    def wants_spram(self) -> bool:
        return self.spram

    def in_spram(self) -> Self:
        return replace(self, spram=True)

    def check(self, network: Network, *, wide: bool) -> None:
        """Every one can be built."""

    def keeps_membranes(self, network: Network) -> str | None:
        return SKIPPED_MEMBRANES.format(population=quoted(self.populations[-1])) if self.skips else None

    def plan(
        self, weights: EngineWeights, family: Family, first_spram: int | None
    ) -> tuple[SparseFormat, SparseContents]:
        codes, weight_bits = weights.matrix()
        sections, spram = weights.sections(), first_spram if self.spram else None
        rows, row_contents = encode_rows(codes, weight_bits, family, sections, spram, self.scarce)
        overlaps = weights.overlaps()
        neurons, parameters = weights.neurons(weight_bits, overlaps=overlaps, skips=self.skips, scarce=self.scarce)
        form = SparseFormat(
            inputs=weights.inputs,
            rows=rows,
            neurons=neurons,
            walking=weights.own_rows if weights.heard.steers else None,
            waiting=weights.heard.waiting,
            inner=weights.inner,
        )
        return form, SparseContents(rows=row_contents, parameters=parameters)

    def monitors(self, network: Network) -> Iterator[Monitor]:
        for place, name in enumerate(self.populations):
            every = range(network.size_of(name))
            yield self._monitor(network, place, every, every)
