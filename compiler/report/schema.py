"""The types of report.json: what a reader may rely on (docs/report.md says what each key means)."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from .schema_of_samples import AccuracyData, ActivityData, EarlyExitData, RasterData, Source, TracesData

REPORT_SCHEMA = 2


class NetworkData(TypedDict):
    name: str
    dialect: str
    dt_seconds: float | None
    input_shape: list[int]
    inputs: int
    outputs: int
    output: str
    readout: NotRequired[str]
    x_max: int
    neurons: int
    silent_neurons: NotRequired[int]
    synapses: int
    sparsity: float


class OverrideData(TypedDict):
    population: str
    sparsity: float | None
    bits: int | None
    scheme: str | None


class CompressionData(TypedDict):
    method: str
    sparsity: float
    bits: int | None
    scheme: str
    layers: NotRequired[list[OverrideData]]
    before: NotRequired[list[CompressionData]]


class DecayData(TypedDict):
    keeps_min: float
    keeps_max: float
    k: int
    rounding: str


class FloorData(TypedDict):
    min: float
    max: float


class AdaptationData(TypedDict):
    decay: DecayData | None
    jump_min: float
    jump_max: float


class ErrorsData(TypedDict):
    weights_relative: float
    threshold_relative: float
    bias_relative: float
    leak_relative: float
    leak_syn_relative: float
    leak_a_relative: NotRequired[float]  # older reports do not say


class PopulationData(TypedDict):
    model: str
    reset: str
    reset_place: str
    fire: Literal["gt", "ge"] | None
    decay: DecayData | None
    decay_syn: DecayData | None
    floor: NotRequired[FloorData | None]
    adaptation: NotRequired[AdaptationData | None]
    max_spikes: NotRequired[int]
    saturation_excluded: bool
    errors: ErrorsData


class ResourcesData(TypedDict):
    luts: int
    ffs: int
    lcs: int
    brams: int
    spram: int
    dsps: int


class DeviceData(TypedDict):
    id: str
    family: str
    package: str
    capacity: ResourcesData


class BoardData(TypedDict):
    id: str
    name: str


class UseData(TypedDict):
    used: int
    available: int | None
    estimated: int | None
    source: Source


class UtilizationData(TypedDict):
    luts: UseData
    ffs: UseData
    lcs: UseData
    brams: UseData
    spram: UseData
    dsps: UseData


class PathStepData(TypedDict):
    block: str
    logic_ns: float
    routing_ns: float


class TimingData(TypedDict):
    clock_mhz: float
    clock_choice: NotRequired[str | None]
    fmax_mhz: float | None
    fmax_mhz_estimated: float | None
    met: bool | None
    critical_path: list[PathStepData]
    source: Source | None


class NoLatencyData(TypedDict):
    cycles_per_sample: None
    cycles_per_sample_estimated: float | None
    microseconds_per_sample: None
    samples_measured: int
    source: None


class LatencyData(TypedDict):
    cycles_per_sample: float
    cycles_per_sample_estimated: float | None
    cycles_per_sample_min: int
    cycles_per_sample_max: int
    cycles_per_step: float
    microseconds_per_sample: float
    steps_per_sample: int
    samples_measured: int
    stimulus: str
    source: Source


class _Bound(TypedDict, total=False):
    """What older reports lack."""

    bound_by: str


class LinkData(_Bound):
    baud: int
    bytes_per_sample: float
    microseconds_per_sample: float
    encoder: str | None
    decoder: str | None
    encoder_cycles_per_sample: float | None
    source: Source


class WorkData(TypedDict):
    events_per_sample: float
    synaptic_operations_per_sample: float
    neuron_updates_per_sample: float
    memory_reads_per_sample: float
    memory_writes_per_sample: float
    source: Source


class NeuroBenchData(TypedDict):
    release: str
    footprint_bytes: float
    connection_sparsity: float
    activation_sparsity: float
    effective_macs_per_sample: float
    effective_acs_per_sample: float
    dense_per_sample: float
    samples: int
    stimulus: str
    source: Source


class RegionData(TypedDict):
    block: str
    role: str
    depth: int
    width_bits: int
    bits: int
    style: str
    brams: int
    spram: int


class MemoryData(TypedDict):
    stored_bits: int
    entropy_bits: float
    total_bits: int
    map: list[RegionData]


class EncodingData(TypedDict):
    index_bits: int | None
    chunk_bits: int | None
    code_bits: int
    levels: int | None
    group: int
    align: int
    uniform: bool
    entries: int


class EngineData(TypedDict):
    block: str
    populations: list[str]
    kind: str
    lanes: int
    fast: NotRequired[bool]
    inlet_queue: NotRequired[int]
    encoding: EncodingData
    stored_bits: int
    entropy_bits: float
    stored_over_entropy: float | None
    cycles_per_sample: float | None


class LayerData(TypedDict):
    population: str
    block: str
    neurons: int
    fan_in: int
    synapses: int
    weight_bits: int
    state_bits: int
    fraction_bits: int
    entropy_bits: float
    cycles_per_sample: float | None


class BlockData(ResourcesData):
    name: str


class BlocksData(TypedDict):
    origin: str
    source: Source
    list: list[BlockData]


class WeightsData(TypedDict):
    pre: str
    post: str
    bits: int
    weights: int
    zeros: int
    lowest_code: int
    highest_code: int
    bin_codes: int
    counts: list[int]
    source: Source


class TilesData(TypedDict):
    logic: list[list[int]]
    memory: list[list[int]]
    other: list[list[int]]


class PlacedBlockData(TypedDict):
    name: str
    logic: int
    memory: int
    other: int
    tiles: TilesData


class FloorplanData(TypedDict):
    columns: int
    rows: int
    from_top: bool
    blocks: list[PlacedBlockData]
    source: Source


class InputData(TypedDict):
    wide: bool
    slots: int
    banks: int
    row_bits: int
    payload_bits: int


class ReadingsData(TypedDict):
    value_bits: int
    value_bytes: int
    every_step: bool
    names_class: bool
    most_steps: int | None
    unit: float
    offset: float


class ReadoutData(TypedDict):
    by: str
    classes: int | None
    threshold: int | None
    readings: ReadingsData | None


class ExchangeData(TypedDict):
    headroom: float
    reloads: int


class ReportData(TypedDict):
    """All of it."""

    schema_version: int
    network: NetworkData
    compression: CompressionData | None
    semantics: dict[str, PopulationData]
    device: DeviceData | None
    board: BoardData | None
    utilization: UtilizationData
    timing: TimingData
    latency: dict[str, Any]  # LatencyData, or NoLatencyData where nothing was simulated
    link: LinkData | None
    work: WorkData | None
    neurobench: NotRequired[NeuroBenchData | None]  # older reports do not say
    memory: MemoryData
    input: NotRequired[InputData]  # older reports do not say
    readout: NotRequired[ReadoutData]  # older reports do not say
    guessed_parts: NotRequired[list[str]]  # older reports do not say
    engines: list[EngineData]
    layers: list[LayerData]
    blocks: BlocksData
    activity: ActivityData | None
    accuracy: AccuracyData | None
    early_exit: NotRequired[EarlyExitData | None]  # older reports do not say
    raster: NotRequired[RasterData | None]  # older reports do not say
    traces: NotRequired[TracesData | None]  # older reports do not say
    weights: NotRequired[list[WeightsData]]  # older reports do not say
    floorplan: NotRequired[FloorplanData | None]  # older reports do not say
    exchange: NotRequired[ExchangeData | None]  # older reports do not say
    warnings: list[str]
