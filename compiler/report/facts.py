"""What a report is made of: the plan, and what the tools, the estimate and the simulation said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ...hdl.images.coding import ImageCoding
from ...hdl.resources import Resources
from ..compression.recipe import Recipe
from ..estimate.estimate import Estimate
from ..ir.network import Network
from ..ir.origin import Judged
from ..lowering.error import PopulationError
from ..plan.plan import Plan
from .neurobench import NeuroBench

UART_BITS_PER_BYTE = 10
"""Start bit, eight data bits, stop bit."""


class Source(StrEnum):
    """Where a figure comes from."""

    MEASURED = "measured"
    ESTIMATED = "estimated"


@dataclass(frozen=True, kw_only=True)
class Device:
    """The FPGA: its id, family (`ice40`, `ecp5`), package and capacity."""

    id: str
    family: str
    package: str
    capacity: Resources


@dataclass(frozen=True)
class PathStep:
    """One stretch of the critical path that stays inside one of our modules, in nanoseconds."""

    block: str
    logic_ns: float
    routing_ns: float


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The clock, why it is that where it was chosen, what the placed and routed design reaches, and what limits it."""

    clock_mhz: float
    choice: str | None = None
    fmax_mhz: float | None = None
    critical_path: tuple[PathStep, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Clock cycles of the core, counted in simulation, or by the exact model, over `cycles` = one figure per sample.

    `stimulus` says which samples: `calibration`, or `random` where the user gave none. `cycles_per_layer` is the mean
    per sample by population, `cycles_per_engine` that of each engine.
    """

    cycles: tuple[int, ...]
    steps: int
    stimulus: str
    cycles_per_layer: Mapping[str, float] = field(default_factory=dict)
    cycles_per_engine: Sequence[float] = ()
    simulated: bool = True


@dataclass(frozen=True, kw_only=True)
class Link:
    """The host link's own time: bytes on the wire per sample, mean over the samples measured.

    With a `coding` samples are images, and `encoder_cycles` the clock cycles that the encoder takes for one.
    """

    baud: int
    bytes_per_sample: float
    coding: ImageCoding | None = None
    encoder_cycles: float | None = None
    bits_per_byte: int = UART_BITS_PER_BYTE


@dataclass(frozen=True)
class Block:
    """One of our modules in a hierarchical synthesis run, without the modules below it."""

    name: str
    resources: Resources


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Mean spikes per sample of the input and of every population, from the integer reference."""

    samples: int
    spikes_per_sample: Mapping[str, float]
    rate_per_step: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, kw_only=True)
class ClassAccuracy:
    """The samples of one class, how many of them were right, the 95 % interval of that share, and what the others were
    taken for: pairs of class and count, the most frequent first."""

    label: int
    samples: int
    right: int
    interval: tuple[float, float]
    taken_for: Sequence[tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class RasterLayer:
    """Spikes of the first neurons of a population in one sample: of each a letter for each step, "b" for a spike of
    both networks, "f" of the float one alone, "i" of the integers alone, "." for none."""

    population: str
    rows: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Raster:
    """All populations in one sample."""

    sample: int
    steps: int
    layers: Sequence[RasterLayer]


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """The share of labelled samples whose class was right, before and after quantisation.

    `real` is that of the network that was given, `integer` that of the one that was built, None where it was not
    measured; `stimulus` says which samples they were (`origin.STIMULI`). A network that was `compressed` before has an
    `original`, whose accuracy is known where that compression had labels. `confusion` counts samples by label and
    predicted class, of the integers, as `classes` do for each class that has a sample.
    """

    samples: int
    real: float
    integer: float | None
    stimulus: str = "calibration"
    compressed: bool = False
    original: Judged | None = None
    integer_interval: tuple[float, float] | None = None
    classes: Sequence[ClassAccuracy] = ()
    confusion: Sequence[Sequence[int]] | None = None


@dataclass(frozen=True, kw_only=True)
class SavedCycles:
    """Mean cycles of the first `samples`: of all their steps, and until their classes are certain, the empty step that
    ends a sample early included."""

    samples: int
    whole: float
    early: float


@dataclass(frozen=True, kw_only=True)
class EarlyExits:
    """Samples of so many `steps` that end once a class leads by a `margin`: the steps that they take on average, how
    many classes of the `samples` are others than those of all steps, the share that is right where there are labels,
    and the core's `cycles`."""

    margin: int
    samples: int
    steps: int
    steps_taken: float
    classes_changed: int
    accuracy: float | None = None
    cycles: SavedCycles | None = None


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One neuron in one sample: its membrane after each step in the float network and in the integers, both in the
    float network's units, its spikes as in `RasterLayer`, and the threshold, None where it never fires."""

    population: str
    neuron: int
    threshold: float | None
    real: Sequence[float]
    integer: Sequence[float]
    spikes: str


@dataclass(frozen=True, kw_only=True)
class Traces:
    """Chosen neurons in one sample."""

    sample: int
    steps: int
    neurons: Sequence[Trace]


@dataclass(frozen=True, kw_only=True)
class Floorplan:
    """The tiles of a placed design: column, row, block, kind of tile ("logic", "memory", "other") and cells of each.
    Rows are counted `from_top` or from below, as the device's tools do."""

    columns: int
    rows: int
    from_top: bool
    tiles: Sequence[tuple[int, int, str, str, int]]


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """NeuroBench's metrics on `samples` samples; `stimulus` says which, as in `Latency`."""

    figures: NeuroBench
    samples: int
    stimulus: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that a report is made of; what was not done is None or empty.

    `source` is the float network, `whole` the integer one and `plan` holds what its core runs of it (`plan.lean`;
    `whole` None means all). `errors` says how far apart they are, `recipe` how one became the other; `estimate` is what
    was expected of the same design before it was built. In its bitstream weights were exchanged `reloads` times.
    """

    plan: Plan
    source: Network
    whole: Network | None = None
    errors: Sequence[PopulationError]
    recipe: Recipe | None
    used: Resources
    used_source: Source
    timing: Timing
    device: Device | None = None
    board: Mapping[str, Any] | None = None
    latency: Latency | None = None
    estimate: Estimate | None = None
    neurobench: Metrics | None = None
    link: Link | None = None
    blocks: Sequence[Block] = ()
    activity: Activity | None = None
    accuracy: Accuracy | None = None
    early: EarlyExits | None = None
    raster: Raster | None = None
    traces: Traces | None = None
    floorplan: Floorplan | None = None
    warnings: Sequence[str] = ()
    reloads: int = 0

    @property
    def exchange(self) -> dict[str, Any] | None:
        """What can become of the weights in the bitstream, and what has; None where nothing can."""
        share = self.plan.headroom
        return None if share is None else {"headroom": share, "reloads": self.reloads}

    @property
    def busy_cycles(self) -> float:
        """Clock cycles that a sample takes once it has come: the core's, or the encoder's where these are more."""
        core = 0.0 if self.latency is None else sum(self.latency.cycles) / len(self.latency.cycles)
        return max(core, (self.link and self.link.encoder_cycles) or 0.0)
