"""How the neurons of a population see their inputs: weights that neurons share are fitted as one matrix.

The neurons of a scale group have the same weights and see different inputs. So they are further samples of one neuron:
a population of `groups` neurons with as many copies of each sample as a group has `members`. Where every neuron has
weights of its own, groups are neurons and nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import ModelError, quoted
from ..ir.arrays import IntArray
from ..ir.columns import Columns
from ..ir.connectivity import Connectivity
from ..neurons.contract import ContractForm

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False, kw_only=True)
class View:
    """The scale group of each neuron (n,), the first neuron of each group (groups,), and how many a group has.

    `places` (n,) says where a neuron's value stands among those of [members, groups].
    """

    connectivities: tuple[Connectivity, ...]
    groups: IntArray
    first: IntArray
    members: int
    places: IntArray

    @classmethod
    def of(cls, form: ContractForm) -> View:
        """The view of a population; ModelError where the neurons of a group, or groups, see inputs of unlike form."""
        connectivities = tuple(p.connectivity for p in form.projections)
        groups = Columns.of(connectivities).groups
        for projection, own in zip(form.projections, connectivities, strict=True):
            if own.pools_sums:
                raise ModelError(
                    f"compression on data takes sums as they are: those of {quoted(projection.pre)} -> "
                    f"{quoted(projection.post)} are pooled; use magnitude, without fine-tuning"
                )
            if len(own.alike()) > 1 or not np.array_equal(own.scale_groups(), groups):
                arrow = f"{quoted(projection.pre)} -> {quoted(projection.post)}"
                raise ModelError(
                    f"compression on data takes weights that all see the same inputs: those of {arrow} "
                    f"({type(own).__name__}) do not; use magnitude"
                )
        first, sizes = np.unique(groups, return_index=True, return_counts=True)[1:]
        rank = np.empty_like(groups)
        order = np.argsort(groups, kind="stable")
        rank[order] = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        places = rank * len(first) + groups
        return cls(connectivities=connectivities, groups=groups, first=first, members=int(sizes.max()), places=places)

    @property
    def is_plain(self) -> bool:
        """Whether every neuron has weights of its own."""
        return self.members == 1

    def grouped(self, form: ContractForm) -> ContractForm:
        """The population with one neuron per group, weights [fan-in, groups]; ModelError where members differ."""
        arrays: dict[str, Any] = {name: value for name, value in vars(form).items() if isinstance(value, np.ndarray)}
        for name, value in arrays.items():
            if not np.array_equal(value[self.first][self.groups], value):
                raise ModelError(
                    f"neurons that share weights share their parameters: {name} of population "
                    f"{quoted(form.population.name)} differs between some; use magnitude"
                )
        weights = tuple(c.columns(w) for c, w in zip(self.connectivities, form.weights, strict=True))
        return replace(form, weights=weights, **{name: value[self.first] for name, value in arrays.items()})

    def seen(self, spikes: torch.Tensor, number: int) -> torch.Tensor:
        """What the weights of a projection see of `spikes` [steps, samples, pre].

        [steps, samples * members, fan-in].
        """

        connectivity = self.connectivities[number]
        if connectivity.one_per_pair:
            return spikes
        if (pooled := connectivity.pooled_inputs()) is not None:
            windows = self._taken(spikes, pooled[0])
            spikes = windows.amax(dim=3) if pooled[1] else windows.sum(dim=3)
        return self._taken(spikes, connectivity.inputs_of(0)).flatten(1, 2)

    def _taken(self, values: torch.Tensor, numbers: IntArray) -> torch.Tensor:
        """[steps, samples, *numbers] of values [steps, samples, n]; 0 where a number is -1, for none."""
        import torch

        padded = torch.cat([values, torch.zeros_like(values[..., :1])], dim=2)
        return padded[..., self._index(numbers % padded.shape[2], values)]  # -1 is the zero at the end

    def by_neuron(self, values: torch.Tensor) -> torch.Tensor:
        """Values of the groups [steps, samples * members, groups] as those of the neurons [steps, samples, n]."""
        if self.is_plain:
            return values
        return values.unflatten(1, (-1, self.members)).flatten(2)[..., self._index(self.places, values)]

    def per_neuron(self, constants: torch.Tensor) -> torch.Tensor:
        """One constant per neuron (n,) of one per group (groups,)."""
        return constants if self.is_plain else constants[self._index(self.groups, constants)]

    def _index(self, numbers: IntArray, like: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.as_tensor(numbers, device=like.device)

    def split(self, matrix: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """What a matrix [fan-in, groups] holds for each projection, in its connectivity's form."""
        return Columns.of(self.connectivities).split(matrix)
