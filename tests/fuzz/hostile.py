"""Memories that answer with rubbish wherever a design must not look: beyond the last word, and at a word while it is
written, unless the read port is transparent for that write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from amaranth import Assert, Format, Module, Mux, Signal
from amaranth.lib import memory
from spikeloom.hdl.memories import dual_port
from spikeloom.hdl.memories import memory as shaped

_NOISE_BITS = 16
_TAPS = 0xB400
"""Of a linear feedback shift register of 16 bits with the longest period."""


class _Port:
    """A read port whose `data` may be spoilt."""

    def __init__(self, port: Any) -> None:
        self.addr, self.en, self.domain = port.addr, port.en, port.domain
        self.transparent_for = port.transparent_for
        self.honest = port
        self.data = Signal.like(port.data, name="spoilt")


class HostileMemory(memory.Memory):
    """`amaranth.lib.memory.Memory` with the same contents and ports."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ports: list[_Port] = []

    def read_port(self, **kwargs: Any) -> Any:
        port = _Port(super().read_port(**kwargs))
        self._ports.append(port)
        return port

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.words = super().elaborate(platform)
        for number, port in enumerate(self._ports):
            wrong = Signal(name=f"wrong{number}")
            noise = Signal(_NOISE_BITS, init=0xACE1 + number, name=f"noise{number}")
            collides = [
                write.en.any() & (write.addr == port.addr)
                for write in self.write_ports
                if write not in port.transparent_for
            ]
            looks = port.addr >= self.depth
            for collision in collides:
                looks = looks | collision
            with m.If(port.en):
                m.d.sync += [wrong.eq(looks), noise.eq((noise >> 1) ^ Mux(noise[0], _TAPS, 0))]
            rubbish = noise.replicate(-(-len(port.data) // _NOISE_BITS))[: len(port.data)]
            m.d.comb += port.data.eq(Mux(wrong, rubbish, port.honest.data))
        return m


class StrictMemory(HostileMemory):
    """A hostile memory that ends the simulation where anyone looks beyond its last word."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        for port in self._ports:
            inside = port.addr < self.depth
            m.d.sync += Assert(~port.en | inside, Format("word {} of {} was read", port.addr, self.depth))
        return m


@contextmanager
def hostile_memories(kind: type[HostileMemory] = HostileMemory) -> Iterator[None]:
    """Every memory of the designs that are elaborated meanwhile is hostile; those in SPRAM are by themselves."""

    def filled(width: int, words: Sequence[int], attrs: dict[str, str]) -> HostileMemory:
        return kind(shape=width, depth=len(words), init=words, attrs=attrs)

    with mock.patch.object(memory, "Memory", kind), ExitStack() as others:
        for module in (dual_port, shaped):
            others.enter_context(mock.patch.object(module, "FilledMemory", filled))
        yield
