"""What a core answers: spikes, or readings of its output's membranes where the class is read by them."""

from __future__ import annotations

import numpy as np

from ...hdl.errors import ModelError, quoted
from ...hdl.neurons.readout import MembraneKind, ReadoutFormat
from ..ir.network import Network
from ..ir.neurons import IntegerDynamics, ResetMode
from ..ir.readout import ReadBy
from .engine_folding import EngineFolding
from .folding import Folding

STEP_BITS = 12
"""A sum of membranes is exact for samples of 2^12 steps at least: of so many as its bytes hold."""


def answered(network: Network) -> Network:
    """The network with the readout that hardware answers by where nobody chose one: an output that never fires by its
    last membranes, which take no memory, where figures of software alone are by their sum."""
    if network.readout is not None or network.output_fires:
        return network
    return network.with_readout(ReadBy.MEMBRANE_LAST)


def require_answer(network: Network) -> None:
    """ModelError where no core can answer what the class is read by."""
    problem = _refused(network)
    if problem is not None:
        raise ModelError(problem)


def readout_of(network: Network) -> ReadoutFormat | None:
    """What a core gives out in place of spikes, whatever its folding; None where that is spikes.

    Where membranes cannot leave (`require_answer` says why) a core has none either, and only its traces show them.
    """
    if not network.reading.of_membranes or _refused(network) is not None:
        return None
    dynamics = network.population(network.output).dynamics
    assert isinstance(dynamics, IntegerDynamics), "hardware executes integer networks"
    kind, bits = MembraneKind(network.reading.by.value), dynamics.state_bits
    summed = 8 * -(-(bits + STEP_BITS) // 8)
    return ReadoutFormat(
        kind=kind,
        outputs=network.size_of(network.output),
        membrane_bits=bits,
        value_bits=summed if kind is MembraneKind.SUM else bits,
        names_class=kind is not MembraneKind.EVERY and network.reading.classes is None,
    )


def folded_readout(network: Network, folding: Folding) -> ReadoutFormat | None:
    """The readout of a core with that folding; None where it gives spikes, or its engine no membranes."""
    return readout_of(network) if any(gives_membranes(network, engine) for engine in folding.engines) else None


def gives_membranes(network: Network, engine: EngineFolding) -> bool:
    """Whether an engine gives membranes in place of spikes."""
    heard = engine.populations[-1] == network.output
    return heard and readout_of(network) is not None and engine.keeps_membranes(network) is None


def require_folded_answer(network: Network, folding: Folding) -> None:
    """ModelError where a core of that folding cannot answer what the class is read by, with the nearest that can."""
    require_answer(network)
    for engine in folding.engines:
        if network.reading.of_membranes and network.output in engine.populations:
            problem = engine.keeps_membranes(network)
            if problem is not None:
                raise ModelError(f"{problem}; the class is read by {network.reading.by}")


def _refused(network: Network) -> str | None:
    """Why no core can answer what the class is read by, and what to do; None where one can."""
    output, by = network.population(network.output), network.reading.by
    if not network.reading.of_membranes:
        return None
    name, dynamics = quoted(output.name), output.dynamics
    if output.resets:
        to_value = getattr(dynamics, "reset_mode", None) is ResetMode.VALUE
        return (
            f"membranes are read off an output that never resets: population {name} resets "
            f"{'to a value' if to_value else 'by subtraction'} and is read by {by}; read it by spikes or first-spike "
            '(--readout), or end the network with LI neurons or with reset_mechanism="none"'
        )
    listeners = [projection.post for projection in network.projections if projection.pre == output.name]
    if listeners:
        return (
            f"an output whose membranes are read leads nowhere: population {name} projects to {quoted(listeners[0])}; "
            "read out another population, or add one of LI neurons behind it"
        )
    if isinstance(dynamics, IntegerDynamics) and np.ptp(dynamics.scale):
        return (
            f"membranes that are read have one unit: the neurons of population {name} have a weight scale each, as "
            f"they were quantised to be read by spikes; compress the float network with --readout {by}"
        )
    return None
