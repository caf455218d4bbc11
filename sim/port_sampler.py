"""Many ports of a simulated design read at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value


class PortSampler:
    """Ports joined in one signal: Amaranth's simulator reads a signal many times faster than it evaluates expressions.

    Add `drive(module)` to the design, sample `seen` at a clock edge, and take it apart with `values` where it matters.
    """

    def __init__(self, ports: Sequence[Any]) -> None:
        self._ports = [Value.cast(port) for port in ports]
        lows = accumulate((len(port) for port in self._ports), initial=0)
        self._fields = [
            (low, (1 << len(port)) - 1, (port.shape().signed << len(port)) >> 1)
            for low, port in zip(lows, self._ports, strict=False)
        ]
        self.seen = Signal(sum(len(port) for port in self._ports))

    def drive(self, m: Module) -> None:
        m.d.comb += self.seen.eq(Cat(self._ports))

    def mask_of(self, numbers: Sequence[int]) -> int:
        """The bits of `seen` that these ports have."""
        return sum(mask << low for low, mask, _ in (self._fields[number] for number in numbers))

    def values(self, seen: int) -> list[int]:
        """The ports' values, in their order; signed ports' with their sign."""
        return [(seen >> low & mask ^ sign) - sign for low, mask, sign in self._fields]
