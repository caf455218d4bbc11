"""The synthesis report: what a compiled network costs, as one versioned JSON object (docs/report.md).

`build_report` turns facts into the schema and measures nothing itself: the figures come from the plan, the tools and
the simulation, and each group says whether it is `measured` or `estimated`.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import numpy as np

from ...hdl.errors import InputError, quoted
from ...hdl.json_files import ShapeError, shaped
from ...hdl.resources import Resources
from ..compression.recipe import Recipe
from ..compression.report import step_of
from ..estimate.estimate import Estimate
from ..ir.network import Population
from ..ir.neurons import Decay, IntegerDynamics
from ..ir.origin import Compression
from ..neurons.contract import contract_form
from ..plan.folding import input_beats
from ..plan.kinds import engine_data
from ..plan.plan import MemoryUse
from .encodings import ENCODINGS
from .facts import Facts, Metrics, Source
from .neurobench import RELEASE
from .outcome import accuracy_data, activity_data, early_data, figure, raster_data, traces_data
from .placement import floorplan_data
from .readout import readout_data
from .schema import REPORT_SCHEMA, LatencyData, NoLatencyData, ReportData
from .weights import weights_data

WEIGHT_ROLES = ("rows", "masks", "entries", "weights")
"""The memories that hold weights and where they go: what `stored_bits` counts and `entropy_bits` bounds."""


def build_report(facts: Facts) -> dict[str, Any]:
    """The report as JSON data. Times are in the units that the keys name; see docs/report.md."""
    layers = [_layer(facts, number) for number in range(len(facts.plan.layers))]
    return {
        "schema_version": REPORT_SCHEMA,
        "network": _network(facts),
        "compression": _compression(facts),
        "semantics": {p.name: _semantics(facts, p) for p in facts.plan.network.populations},
        "device": None if facts.device is None else asdict(facts.device),
        "board": None if facts.board is None else dict(facts.board),
        "utilization": _utilization(facts),
        "timing": _timing(facts),
        "latency": _latency(facts),
        "link": _link(facts),
        "work": _work(facts.estimate),
        "neurobench": _neurobench(facts.neurobench),
        "memory": {
            "stored_bits": sum(use.shape.bits for use in facts.plan.memories if holds_weights(use.role)),
            "entropy_bits": round(sum(layer["entropy_bits"] for layer in layers), 1),
            "total_bits": sum(use.shape.bits for use in facts.plan.memories),
            "map": [_memory(use) for use in facts.plan.memories],
        },
        "input": _input(facts),
        "readout": readout_data(facts.plan, facts.source),
        "guessed_parts": [] if facts.estimate is None else list(facts.estimate.guessed),
        "engines": [_engine(facts, number) for number in range(len(facts.plan.engines))],
        "layers": layers,
        "blocks": {
            "origin": "hierarchical synthesis: not flattened, so the sum exceeds the utilization",
            "source": Source.ESTIMATED,
            "list": [{"name": block.name, **asdict(block.resources)} for block in facts.blocks],
        },
        "activity": activity_data(facts.activity),
        "accuracy": accuracy_data(facts),
        "early_exit": None if facts.early is None else early_data(facts.early),
        "raster": raster_data(facts.raster),
        "traces": traces_data(facts.traces),
        "weights": weights_data(facts.plan.network if facts.whole is None else facts.whole),
        "floorplan": floorplan_data(facts.floorplan),
        "exchange": facts.exchange,
        "warnings": list(facts.warnings),
    }


def _compression(facts: Facts) -> dict[str, Any] | None:
    """The last compression, by this build or by the one whose network it took, and those `before` it."""
    steps = [] if facts.source.origin is None else [_step_data(step) for step in facts.source.origin.steps]
    if facts.recipe is not None:
        steps.append(recipe_options(facts.recipe))
    return {**steps[-1], "before": steps[:-1]} if steps else None


def recipe_options(recipe: Recipe) -> dict[str, Any]:
    """What a recipe was asked for."""
    return _step_data(step_of(recipe))


def _step_data(step: Compression) -> dict[str, Any]:
    data = asdict(step)
    return data | {"layers": list(data["layers"])}


def _utilization(facts: Facts) -> dict[str, Any]:
    capacity = None if facts.device is None else facts.device.capacity
    return {
        f.name: {
            "used": getattr(facts.used, f.name),
            "available": None if capacity is None else getattr(capacity, f.name),
            "estimated": None if facts.estimate is None else getattr(facts.estimate.resources, f.name),
            "source": facts.used_source,
        }
        for f in fields(Resources)
    }


def _timing(facts: Facts) -> dict[str, Any]:
    timing = facts.timing
    return {
        "clock_mhz": timing.clock_mhz,
        "clock_choice": timing.choice,
        "fmax_mhz": timing.fmax_mhz,
        "fmax_mhz_estimated": None if facts.estimate is None else facts.estimate.fmax_mhz,
        "met": None if timing.fmax_mhz is None else timing.fmax_mhz >= timing.clock_mhz,
        "critical_path": [asdict(step) for step in timing.critical_path],
        "source": None if timing.fmax_mhz is None else Source.MEASURED,
    }


def _latency(facts: Facts) -> dict[str, Any]:
    """The core's time; null figures where nothing was simulated."""
    latency, clock_mhz = facts.latency, facts.timing.clock_mhz
    estimated = None if facts.estimate is None or facts.estimate.cycles is None else round(facts.estimate.cycles, 2)
    if latency is None:
        return {
            "cycles_per_sample": None,
            "cycles_per_sample_estimated": estimated,
            "microseconds_per_sample": None,
            "samples_measured": 0,
            "source": None,
        }
    mean = sum(latency.cycles) / len(latency.cycles)
    return {
        "cycles_per_sample": round(mean, 2),
        "cycles_per_sample_estimated": estimated,
        "cycles_per_sample_min": min(latency.cycles),
        "cycles_per_sample_max": max(latency.cycles),
        "cycles_per_step": round(mean / latency.steps, 2),
        "microseconds_per_sample": round(mean / clock_mhz, 3),
        "steps_per_sample": latency.steps,
        "samples_measured": len(latency.cycles),
        "stimulus": latency.stimulus,
        "source": Source.MEASURED if latency.simulated else Source.ESTIMATED,
    }


def _work(estimate: Estimate | None) -> dict[str, Any] | None:
    """What a sample costs in energy, as far as counting tells."""
    if estimate is None or estimate.work is None:
        return None
    figures = {f"{name}_per_sample": round(amount, 2) for name, amount in asdict(estimate.work).items()}
    return figures | {"source": Source.ESTIMATED}


def _neurobench(metrics: Metrics | None) -> dict[str, Any] | None:
    """NeuroBench's metrics, by its names."""
    if metrics is None:
        return None
    figures = metrics.figures
    return {
        "release": RELEASE,
        "footprint_bytes": round(figures.footprint_bytes, 3),
        "connection_sparsity": round(figures.connection_sparsity, 4),
        "activation_sparsity": round(figures.activation_sparsity, 6),
        "effective_macs_per_sample": round(figures.effective_macs, 2),
        "effective_acs_per_sample": round(figures.effective_acs, 2),
        "dense_per_sample": round(figures.dense, 2),
        "samples": metrics.samples,
        "stimulus": metrics.stimulus,
        "source": Source.MEASURED,
    }


def _link(facts: Facts) -> dict[str, Any] | None:
    link = facts.link
    if link is None:
        return None
    on_line = link.bytes_per_sample * link.bits_per_byte * 1e6 / link.baud
    return {
        "baud": link.baud,
        "bytes_per_sample": round(link.bytes_per_sample, 2),
        "microseconds_per_sample": round(on_line, 3),
        "bound_by": "line" if on_line * facts.timing.clock_mhz > facts.busy_cycles else "core",
        "encoder": None if link.coding is None else link.coding.encoder,
        "decoder": None if link.coding is None else link.coding.decoder,
        "encoder_cycles_per_sample": None if link.encoder_cycles is None else round(link.encoder_cycles, 2),
        "source": Source.ESTIMATED,
    }


def check_report(report: dict[str, Any]) -> dict[str, Any]:
    """The report itself, with what a later version may have added, if it is of this schema. Raises InputError."""
    hint = "compile again with this version of Spikeloom"
    if report.get("schema_version") != REPORT_SCHEMA:
        found = quoted(report.get("schema_version"))
        raise InputError(f"a report must be of schema {REPORT_SCHEMA}: report.json has {found}; {hint}")
    try:
        latency = shaped(report, ReportData)["latency"]
        shaped(latency, NoLatencyData if latency.get("cycles_per_sample") is None else LatencyData)
    except ShapeError as error:
        raise InputError(f"a report must {error.must}: report.json {error.has}; {hint}") from None
    return report


# ---------------------------------------------------------------------------------------------------- network


def _network(facts: Facts) -> dict[str, Any]:
    network = facts.plan.network if facts.whole is None else facts.whole
    stored = sum(layer.synapses for layer in facts.plan.layers)
    neurons, in_core = (sum(p.size for p in n.populations) for n in (network, facts.plan.network))
    possible = sum(projection.connectivity.possible_synapses for projection in network.projections)
    return {
        "name": network.name,
        "dialect": network.dialect,
        "dt_seconds": network.dt,
        "input_shape": list(network.input_shape),
        "inputs": network.input_size,
        "outputs": network.size_of(network.output),
        "output": network.output,
        "readout": str(network.reading),
        "x_max": network.x_max,
        "neurons": neurons,
        "silent_neurons": neurons - in_core,
        "synapses": stored,
        "sparsity": round(1 - stored / possible, 6) if possible else 0.0,
    }


def _input(facts: Facts) -> dict[str, Any]:
    """What the core's input brings at once."""
    plan = facts.plan
    shape = input_beats(plan.network, plan.folding, plan.family)
    return {
        "wide": plan.folding.wide,
        "slots": shape.slots,
        "banks": shape.banks,
        "row_bits": shape.row_bits,
        "payload_bits": shape.layout.size,
    }


def _engine(facts: Facts, number: int) -> dict[str, Any]:
    """One engine: what it runs and how its weights are encoded."""
    plan = facts.plan
    folding = plan.folding.engines[number]
    uses = [use for use in plan.memories if use.engine == number and holds_weights(use.role)]
    stored = sum(use.shape.bits for use in uses)
    bound = sum(layer.entropy_bits for layer in plan.layers if layer.engine == number)
    cycles = None if facts.latency is None else facts.latency.cycles_per_engine[number]
    return {
        "block": _block(number),
        "populations": list(folding.populations),
        "kind": folding.kind,
        "lanes": engine_data(folding)["lanes"],
        "fast": engine_data(folding)["fast"],
        "inlet_queue": folding.inlet_queue,
        "encoding": ENCODINGS.of(folding)(plan.engines[number].form),
        "stored_bits": stored,
        "entropy_bits": round(bound, 1),
        "stored_over_entropy": figure(stored / bound) if bound else None,
        "cycles_per_sample": None if cycles is None else round(cycles, 2),
    }


def holds_weights(role: str) -> bool:
    """Whether a memory of that role, with or without the number of its lane or bank, holds weights."""
    return role.rstrip("0123456789") in WEIGHT_ROLES


def _block(engine: int) -> str:
    """An engine as the tools' reports name it."""
    return f"core.engine{engine}"


def _layer(facts: Facts, number: int) -> dict[str, Any]:
    """One population with the synapses into it."""
    layer = facts.plan.layers[number]
    dynamics = facts.plan.network.population(layer.population).dynamics
    assert isinstance(dynamics, IntegerDynamics)
    cycles = None if facts.latency is None else facts.latency.cycles_per_layer.get(layer.population)
    return {
        "population": layer.population,
        "block": _block(layer.engine),
        "neurons": layer.neurons,
        "fan_in": layer.fan_in,
        "synapses": layer.synapses,
        "weight_bits": layer.weight_bits,
        "state_bits": dynamics.state_bits,
        "fraction_bits": dynamics.fraction_bits,
        "entropy_bits": round(layer.entropy_bits, 1),
        "cycles_per_sample": None if cycles is None else round(cycles, 2),
    }


def _memory(use: MemoryUse) -> dict[str, Any]:
    return {
        "block": _block(use.engine),
        "role": use.role,
        "depth": use.shape.depth,
        "width_bits": use.shape.width,
        "bits": use.shape.bits,
        "style": use.shape.style,
        "brams": use.shape.brams,
        "spram": use.shape.spram,
    }


# -------------------------------------------------------------------------------------------------- semantics


def _semantics(facts: Facts, population: Population) -> dict[str, Any]:
    """How a population behaves, and how far its integers are from the network that was quantised."""
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    real = contract_form(facts.source, facts.source.population(population.name))
    error = next(error for error in facts.errors if error.population == population.name)
    return {
        "model": dynamics.kind,
        "reset": real.reset_mode,
        "reset_place": real.reset_place,
        "fire": real.fire if real.spiking else None,
        "decay": _decay(dynamics.decay),
        "decay_syn": _decay(dynamics.decay_syn),
        "floor": _floor(dynamics),
        "adaptation": _adaptation(dynamics),
        "max_spikes": population.max_spikes,
        "saturation_excluded": error.saturation_excluded,
        "errors": {
            "weights_relative": figure(error.weights),
            "threshold_relative": figure(error.threshold),
            "bias_relative": figure(error.bias),
            "leak_relative": figure(error.leak),
            "leak_syn_relative": figure(error.leak_syn),
            "leak_a_relative": figure(error.leak_a),
        },
    }


def _floor(dynamics: IntegerDynamics) -> dict[str, Any] | None:
    """The floor of the membrane over the neurons, in real units."""
    if dynamics.v_min is None:
        return None
    real = dynamics.v_min * (dynamics.scale / (1 << dynamics.fraction_bits))
    return {"min": figure(np.min(real)), "max": figure(np.max(real))}


def _adaptation(dynamics: IntegerDynamics) -> dict[str, Any] | None:
    """How thresholds adapt: what a step keeps of it, and how far a spike raises them, in real units."""
    if dynamics.jump is None:
        return None
    real = dynamics.jump * (dynamics.scale / (1 << dynamics.fraction_bits))
    return {"decay": _decay(dynamics.decay_a), "jump_min": figure(np.min(real)), "jump_max": figure(np.max(real))}


def _decay(decay: Decay | None) -> dict[str, Any] | None:
    """The share of a state that a step keeps, 1 - c/2^k, over the neurons."""
    if decay is None:
        return None
    kept = 1 - decay.c / 2**decay.k
    low, high = figure(np.min(kept)), figure(np.max(kept))
    return {"keeps_min": low, "keeps_max": high, "k": decay.k, "rounding": decay.rounding}
