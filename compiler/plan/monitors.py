"""What the traces of a core say, and in which order."""

from __future__ import annotations

from ..ir.network import Network
from .engine_folding import Monitor
from .folding import Folding


def monitors_of(network: Network, folding: Folding) -> tuple[Monitor, ...]:
    """The traces of a network's traced core, in the order of its ports."""
    return tuple(monitor for engine in folding.engines for monitor in engine.monitors(network))
