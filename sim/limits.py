"""How long a working core may be silent, and how long it may take, in clock cycles."""

from __future__ import annotations

from ..compiler.cycles.limits import silent_cycles
from ..compiler.ir.network import Network


def hang_cycles(network: Network) -> int:
    """Cycles without a token or a trace beat after which a core counts as hung."""
    return silent_cycles(network)


def run_cycles(network: Network, samples: int, steps: int) -> int:
    """Cycles after which a run is given up, whatever still moves: twice `hang_cycles` for each step, in which input
    that pauses and output that stalls find room, for the clearing after a reset and for a sample that is aborted."""
    return 2 * ((samples + 1) * steps + 1) * hang_cycles(network)


def drain_cycles(network: Network) -> int:
    """Cycles to listen after the last sample: in two passes of the neurons, a core that says too much says it."""
    return 2 * sum(population.size for population in network.populations) + 200
