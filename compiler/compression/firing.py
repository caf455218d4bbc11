"""Which neurons fell silent through compression: found when it is asked for, as another simulation tells it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import ModelError
from ..ir.network import Network
from ..lowering.quantise import dequantise
from ..neurons.observe import observed


@dataclass(frozen=True, eq=False, kw_only=True)
class Firing:
    """A float network `before` compression, what it is `after` it, and samples [samples, steps, inputs...] of both."""

    before: Network
    after: Network
    samples: npt.NDArray[Any]

    @cached_property
    def quieted(self) -> dict[str, tuple[int, ...]]:
        """The neurons that fire on the samples before compression and not any more after it, by population.

        None are named where integers have no float view (`dequantise`).
        """
        try:
            real = dequantise(self.after) if self.after.is_integer else self.after
        except ModelError:
            return {}
        before, after = observed(self.before, self.samples), observed(real, self.samples)
        fell = {p.name: before[p.name].any(axis=(0, 1)) & ~after[p.name].any(axis=(0, 1)) for p in real.populations}
        return {name: tuple(map(int, np.flatnonzero(which))) for name, which in fell.items() if which.any()}
