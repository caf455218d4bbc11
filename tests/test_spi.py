"""The link by SPI: its bytes in the Amaranth simulator, and boards behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from amaranth.sim import Simulator
from board_tops import FORM, NETWORK, emit_top, facts_of
from spikeloom.boards.boards import BOARDS
from spikeloom.boards.clock import plan_clock
from spikeloom.boards.host.board import Board
from spikeloom.compiler.flow.options import CompileOptions, clocks_of
from spikeloom.hdl.errors import OptionError
from spikeloom.hdl.link.protocol import END, ESCAPE, Code
from spikeloom.hdl.link.spi import FEWEST_CLOCKS, STUFFING, SpiPeripheral
from spikeloom.sim.bad_cable import Noise, Relay, as_it_is
from spikeloom.sim.board_model import build_board
from spikeloom.sim.simulated_board import SimulatedBoard
from test_embedded_hosts import SPIKES as FEW
from test_embedded_hosts import Plugged, answered, compiled, expected_counts, module_of, reply, write_hosts
from test_host import QUICK, SPIKES, assert_equal


def spoken(to_device: bytes, to_host: dict[int, bytes], clocks: int = FEWEST_CLOCKS) -> tuple[bytes, bytes]:
    """What the device and the host hear; `to_host` are bytes that the device has from so many bytes of the host on."""
    dut = SpiPeripheral()
    heard, said = bytearray(), bytearray()

    async def host(ctx: Any) -> None:
        ctx.set(dut.cs_n, 0)
        await ctx.tick().repeat(clocks)
        for byte in to_device:
            found = 0
            for bit in range(7, -1, -1):
                ctx.set(dut.copi, byte >> bit & 1)
                await ctx.tick().repeat(clocks // 2)
                found = found << 1 | ctx.get(dut.cipo)
                ctx.set(dut.sck, 1)
                await ctx.tick().repeat(clocks - clocks // 2)
                ctx.set(dut.sck, 0)
            said.append(found)
        await ctx.tick().repeat(clocks)

    async def device(ctx: Any) -> None:
        waiting = bytearray()
        while True:
            waiting += to_host.pop(len(heard), b"")
            ctx.set(dut.i.valid, bool(waiting))
            ctx.set(dut.i.payload, waiting[0] if waiting else 0)
            _, _, valid, byte, ready = await ctx.tick().sample(dut.o.valid, dut.o.payload.byte, dut.i.ready)
            if valid:
                heard.append(byte)
            if waiting and ready:
                del waiting[0]

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(host)
    simulator.add_testbench(device, background=True)
    simulator.run()
    return bytes(heard), bytes(said)


@pytest.mark.parametrize("clocks", [FEWEST_CLOCKS, 7, 16])
def test_bytes_go_both_ways(clocks: int) -> None:
    sent = bytes([1, 0x80, 0xA5, 0xFF, 0, END, 0x3C])
    heard, said = spoken(sent, {0: bytes([7, 0x81, END])}, clocks)
    assert heard == sent
    assert said == bytes([7, 0x81, END, END, END, END, END])


def test_a_frame_that_waits_is_stuffed() -> None:
    heard, said = spoken(bytes(9), {0: b"\x11", 3: b"\x22", 6: bytes([END])})
    assert heard == bytes(9)
    gaps = said.replace(STUFFING, b"")
    assert said[0] == 0x11 and ESCAPE in said and gaps.rstrip(bytes([END])) == b"\x11\x22"
    assert said.endswith(bytes([END]))


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugged]:
    folder, form = tmp_path_factory.mktemp("spi"), replace(FORM, packed=True, identity=0xBEEF)
    top = emit_top(folder, "icebreaker", form=form, spi=True)
    facts = replace(facts_of(top, NETWORK, form), spi=True)
    write_hosts(facts, folder)
    with SimulatedBoard(build_board(top, quiet_cycles=100_000)) as simulated:
        yield Plugged(simulated.port, facts, folder)


def test_a_board_behind_a_microcontroller_answers(board: Plugged, tmp_path: Path) -> None:
    with (
        Relay(tmp_path, board.port, Noise(1 / 400), as_it_is) as relay,
        Board(relay.port, board.facts, patience=QUICK) as host,
    ):
        assert_equal(host.predict(SPIKES, profile=True))


def test_a_program_in_c_gets_the_references_answers(board: Plugged) -> None:
    assert answered(compiled(board.folder), board.port, FEW, 4) == expected_counts()


class Controller:
    """What MicroPython's machine.SPI has, before a device that says `said` and then nothing."""

    def __init__(self, said: bytes) -> None:
        self.said = bytearray(said)
        self.selected = False

    def select(self, level: int) -> None:
        self.selected = not level

    def write(self, data: bytes) -> None:
        assert self.selected

    def read(self, count: int, sent: int) -> bytes:
        assert self.selected and sent == END and count == 1
        return bytes([self.said.pop(0) if self.said else END])


def test_the_module_reads_over_what_stands_for_nothing(board: Plugged) -> None:
    module = module_of(board.folder)
    refusal, step, last = (
        reply(board.facts, *of)
        for of in ((bytes([5]), Code.ERROR), (bytes([1]), Code.STEP), (bytes([3, 3]), Code.SAMPLE))
    )
    idle = bytes([END] * 3)
    stuffed = b"".join(idle + part[:1] + STUFFING * 2 + part[1:] for part in (refusal, step, last))
    controller = Controller(stuffed)
    host = module.Host(module.SpiLine(controller, controller.select))
    answer = host.sample([[0] * 12] * 2)
    assert answer.spikes == [[1], [3, 3]] and answer.predicted == 3
    with pytest.raises(module.LineError, match="silent"):
        host.identify()


def test_a_board_needs_pins_for_it() -> None:
    options = CompileOptions(board="icebreaker", spi=True)
    for board_id, rule in (("hx8k-evn", "none are known of hx8k-evn"), ("icebreaker", "--baud is for a UART")):
        target = BOARDS[board_id]
        with pytest.raises(OptionError, match=rule):
            clocks_of(target, replace(options, baud=9600 if target.spi else None), plan_clock(target))
    assert clocks_of(BOARDS["icebreaker"], options, plan_clock(BOARDS["icebreaker"])) is None
