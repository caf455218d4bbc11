"""Board tops around the cores of small networks, without the tools that make bitstreams of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from networks import chain
from spikeloom.boards.boards import BOARDS
from spikeloom.boards.clock import plan_clock
from spikeloom.boards.host.facts import LINK_SCHEMA, ClassRule, LinkFacts
from spikeloom.boards.top import BoardTop
from spikeloom.compiler.cycles.limits import silent_cycles
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.emit.emit import verilog_from_rtlil
from spikeloom.hdl.link.linked_core import LinkedCore
from spikeloom.hdl.link.protocol import LinkFormat
from spikeloom.hdl.link.spi import FEWEST_CLOCKS
from spikeloom.hdl.memories.filled import with_words
from spikeloom.sim.uart_executor import UartTop

NETWORK = replace(chain(6, (12, 9, 6), fire=14, sub=15), x_max=3)
FORM = LinkFormat(inputs=12, outputs=6, fifo_words=32)
CLOCKS_PER_BIT = 8
BAUD = 1_500_000


def emit_top(
    folder: Path,
    board_id: str,
    clock_hz: float | None = None,
    net: Network = NETWORK,
    form: LinkFormat = FORM,
    spi: bool = False,
) -> UartTop:
    """The Verilog of a board's top around a network's core, and its pins."""
    board = BOARDS[board_id]
    clock = plan_clock(board, clock_hz)
    plan = make_plan(net, board.device.family)
    core = LinkedCore(plan.core(), form, None if spi else CLOCKS_PER_BIT, plan.family)
    files = board.create_platform().prepare(BoardTop(core, board, clock), "top", emit_src=False).files
    (folder / "top.il").write_text(with_words(files["top.il"]), encoding="utf-8")
    verilog_from_rtlil(folder / "top.il", folder / "top.v", folder / "log")
    text = (folder / "top.v").read_text(encoding="utf-8")
    ports = re.findall(r"\w+", re.search(r"^module top\((.*?)\)", text, re.MULTILINE)[1])  # type: ignore[index]
    clock_pin = next((port for port in ports if port.startswith("clk")), None)
    return UartTop(
        verilog=folder / "top.v",
        top="top",
        clock=clock_pin,
        clock_hz=clock.hz if clock_pin is None else board.source_hz,
        rx="host_spi_0__copi__io" if spi else "uart_0__rx__io",
        tx="host_spi_0__cipo__io" if spi else "uart_0__tx__io",
        spi=("host_spi_0__cs_n__io", "host_spi_0__sck__io") if spi else None,
        clocks_per_bit=FEWEST_CLOCKS if spi else CLOCKS_PER_BIT,
        reset_cycles=clock.reset_cycles,
        held={port: 1 for port in ports if port.startswith("rst")},
        family=board.device.family.value,
    )


def bare_facts(outputs: int = 6) -> LinkFacts:
    """What a host must know of a small design without a board."""
    return LinkFacts(
        schema_version=LINK_SCHEMA,
        **vars(LinkFormat(inputs=12, outputs=outputs, fifo_words=32, identity=9)),
        x_max=3,
        rule=ClassRule(),
        baud=BAUD,
        clocks_per_bit=CLOCKS_PER_BIT,
        clock_hz=12e6,
        source_hz=12e6,
        reset_cycles=180,
        silent_cycles=1000,
        board=None,
        device="up5k",
        bitstream="top.bin",
        flash=None,
    )


def facts_of(top: UartTop, net: Network, form: LinkFormat) -> LinkFacts:
    """What a host must know of an iCEBreaker with this top."""
    return replace(
        bare_facts(),
        **vars(form),
        x_max=net.x_max,
        rule=ClassRule(by=net.reading.by.value, classes=net.reading.classes, threshold=net.reading.threshold),
        clock_hz=top.clock_hz,
        reset_cycles=top.reset_cycles,
        silent_cycles=silent_cycles(net) * (1 if form.coding is None else form.coding.steps),
        board="icebreaker",
    )
