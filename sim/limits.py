"""How long a working core may be silent, in clock cycles."""

from __future__ import annotations

from ..compiler.cycles.limits import silent_cycles
from ..compiler.ir.network import Network


def hang_cycles(network: Network) -> int:
    """Cycles without a token or a trace beat after which a core counts as hung."""
    return silent_cycles(network)


def drain_cycles(network: Network) -> int:
    """Cycles to listen after the last sample: in two passes of the neurons, a core that says too much says it."""
    return 2 * sum(population.size for population in network.populations) + 200
