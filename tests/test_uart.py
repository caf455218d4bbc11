"""The UART on its own, with bits of any length and a host whose clock is a little off."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from amaranth.sim import Simulator
from spikeloom.boards.clock import clocks_per_bit
from spikeloom.hdl.link.uart import UartReceiver, UartTransmitter

DATA = bytes([0x00, 0xFF, 0x55, 0xAA, 0x80, 0x01, 0xC0, 0xDB])
BITS = [int(bit) for byte in DATA for bit in f"1{byte:08b}0"[::-1]]
"""Of all bytes in their order: a start bit, the byte from its lowest bit on, a stop bit."""

LENGTHS = [Fraction(4), Fraction(25, 3), Fraction(25, 2), Fraction(50, 3)]


@pytest.mark.parametrize("clocks", LENGTHS)
@pytest.mark.parametrize("off", [-0.015, 0.0, 0.015])
def test_bytes_come_in(clocks: Fraction, off: float) -> None:
    dut = UartReceiver(clocks)
    heard: list[tuple[int, int]] = []

    async def host(ctx: Any) -> None:
        length = float(clocks) * (1 + off)
        for cycle in range(int(len(BITS) * length)):
            ctx.set(dut.rx, BITS[int((cycle + 0.37) / length)])
            await ctx.tick()
        ctx.set(dut.rx, 1)
        await ctx.tick().repeat(2 * int(clocks))

    async def device(ctx: Any) -> None:
        while True:
            _, _, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            if valid:
                heard.append((payload.byte, payload.broken))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(host)
    simulator.add_testbench(device, background=True)
    simulator.run()
    assert heard == [(byte, 0) for byte in DATA]


@pytest.mark.parametrize("clocks", LENGTHS)
def test_bytes_go_out(clocks: Fraction) -> None:
    dut = UartTransmitter(clocks)
    levels: list[int] = []

    async def device(ctx: Any) -> None:
        ctx.set(dut.i.valid, 1)
        for byte in DATA:
            ctx.set(dut.i.payload, byte)
            await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(12 * int(clocks))

    async def host(ctx: Any) -> None:
        while True:
            levels.append(ctx.get(dut.tx))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(device)
    simulator.add_testbench(host, background=True)
    simulator.run()
    start = levels.index(0)
    middles = [start + (number + Fraction(1, 2)) * clocks for number in range(len(BITS))]
    assert [levels[int(at)] for at in middles] == BITS


def test_bits_are_whole_where_that_is_near_enough() -> None:
    assert clocks_per_bit(25e6, 1_000_000) == 25 and clocks_per_bit(12e6, 115_200) == 104
    assert clocks_per_bit(25e6, 3_000_000) == Fraction(25, 3) and clocks_per_bit(25e6, 2_000_000) == Fraction(25, 2)
