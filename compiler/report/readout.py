"""The readout as reports and manifests tell it: what the output says, and what its numbers are worth."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...hdl.neurons.readout import ReadoutFormat
from ..ir.network import Network
from ..ir.neurons import IntegerDynamics
from ..plan.plan import Plan


def readout_data(plan: Plan, source: Network) -> dict[str, Any]:
    """The rows `readout`: how a class is read, and of membranes that leave the core in place of spikes the `readings`:
    their width and their real value, unit * reading + offset. `source` is the float network that the plan's stands for.
    """
    reading = plan.network.reading
    readings = None if plan.readout is None else _readings(plan.network, source, plan.readout)
    return {"by": reading.by, "classes": reading.classes, "threshold": reading.threshold, "readings": readings}


def _readings(network: Network, source: Network, form: ReadoutFormat) -> dict[str, Any]:
    dynamics = network.population(network.output).dynamics
    assert isinstance(dynamics, IntegerDynamics)
    starts = getattr(source.population(network.output).dynamics, "v_init", 0.0)
    return {
        "value_bits": form.value_bits,
        "value_bytes": form.value_bytes,
        "every_step": form.every_step,
        "names_class": form.names_class,
        "most_steps": form.most_steps,
        "unit": float(np.max(dynamics.scale)) / (1 << dynamics.fraction_bits),
        "offset": float(np.max(starts)),
    }
