"""Networks whose weights lie in SPRAM: planned, simulated, and through a board's pins with a flash beside it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator
from board_tops import facts_of
from networks import connect, random_population, random_spikes
from spikeloom.boards import Board
from spikeloom.boards.boards import BOARDS, all_boards, find_board
from spikeloom.boards.clock import plan_clock
from spikeloom.boards.host.facts import LinkFacts
from spikeloom.boards.toolchain import build
from spikeloom.boards.top import ActivityLight, BoardTop
from spikeloom.compiler import write_nir
from spikeloom.compiler.flow.compile import CompileOptions, compile_network
from spikeloom.compiler.ir.network import INPUT, Network
from spikeloom.compiler.output.build_folder import FLASH, WEIGHTS
from spikeloom.compiler.output.flash_image import design_number, join_flash, parse_flash_image, plan_flash
from spikeloom.compiler.plan.folding import Folding, folding_data, pipelined_folding, read_folding
from spikeloom.compiler.plan.plan import Plan, make_plan, with_spram
from spikeloom.hdl.emit.emit import verilog_from_rtlil
from spikeloom.hdl.errors import CapacityError, InputError, LineError, ModelError, OptionError
from spikeloom.hdl.link.flash_loader import load_cycles
from spikeloom.hdl.link.flashed_core import FlashedCore
from spikeloom.hdl.link.linked_core import LinkedCore
from spikeloom.hdl.link.protocol import Code, LinkFormat, Reason, encode_sample
from spikeloom.hdl.memories.filled import with_words
from spikeloom.sim.amaranth_executor import run_amaranth
from spikeloom.sim.board_model import build_board
from spikeloom.sim.recording import Recording
from spikeloom.sim.reference import run_reference
from spikeloom.sim.simulated_board import SimulatedBoard
from spikeloom.sim.uart_executor import FlashPins, Transmission, UartTop, exchange, run_through_uart
from spikeloom.sim.verilog_executor import run_verilog


def dense(sizes: tuple[int, ...], seed: int = 1) -> Network:
    """A chain of LIF populations with 8-bit weights, none of them zero."""
    rng = np.random.default_rng(seed)
    names = [INPUT, *(f"p{number}" for number in range(len(sizes) - 1))]
    populations = []
    for name, size in zip(names[1:], sizes[1:], strict=True):
        fire = rng.integers(300, 900, size)
        populations.append(random_population(rng, name, size, state_bits=18, fire=fire, sub=fire))
    projections = [
        connect(rng, pre, post, shape, bits=8, density=1.0)
        for pre, post, *shape in zip(names, names[1:], sizes, sizes[1:], strict=False)
    ]
    return Network(
        input_shape=(sizes[0],), populations=tuple(populations), projections=tuple(projections), output=names[-1]
    )


SMALL = dense((16, 20, 8))
SPIKES = random_spikes(1, SMALL, samples=2, steps=4)
BIG = dense((32, 64, 128, 64, 12))


def assert_equal(got: Recording, network: Network, spikes: np.ndarray) -> None:
    expected = run_reference(network, spikes, membranes=True)
    for name, population in expected.populations.items():
        assert population.spikes.any()
        assert np.array_equal(got.populations[name].spikes, population.spikes)
        assert np.array_equal(got.populations[name].membranes, population.membranes)


# -------------------------------------------------------------------------------------------------------- plans


@pytest.mark.parametrize("folding", [None, pipelined_folding(SMALL)], ids=["shared", "pipelined"])
def test_a_core_with_weights_in_spram_is_exact(folding: Folding | None) -> None:
    plan = with_spram(make_plan(SMALL, "ice40", folding))
    assert plan.needs.spram == len(plan.sprams) == len(plan.folding.engines)
    assert plan.brams < make_plan(SMALL, "ice40", folding).brams
    assert_equal(run_amaranth(plan, SPIKES, membranes=True, stress=1), SMALL, SPIKES)


def test_a_large_network_needs_one_spram() -> None:
    plan = with_spram(make_plan(BIG))
    assert make_plan(BIG).brams > 30
    assert (plan.needs.spram, len(plan.sprams[0])) == (1, 9600)
    assert plan.brams <= 10


def test_what_takes_most_goes_first() -> None:
    network = dense((16, 300, 200, 200))
    plan = with_spram(make_plan(network, "ice40", pipelined_folding(network)))
    assert [engine.spram for engine in plan.folding.engines] == [False, True, True]
    assert plan.needs.spram == 4


def test_weights_beyond_all_srams_are_refused() -> None:
    network = dense((16, 420, 400))
    folding = with_spram(make_plan(SMALL)).folding
    with pytest.raises(CapacityError, match="a device has at most 4 SPRAMs: the weights take 6"):
        make_plan(network, "ice40", folding)
    assert not with_spram(make_plan(network)).sprams


def test_only_an_ice40_has_spram() -> None:
    with pytest.raises(ModelError, match="only an iCE40UP5K has SPRAM: the folding wants it on ecp5"):
        make_plan(SMALL, "ecp5", with_spram(make_plan(SMALL)).folding)


def test_a_folding_file_says_what_lies_in_spram(tmp_path: Path) -> None:
    file = tmp_path / "folding.json"
    file.write_text('{"engines": [{"populations": ["p0"]}, {"populations": ["p1"], "spram": true}]}')
    folding = read_folding(file)
    assert [engine.spram for engine in folding.engines] == [False, True]
    assert folding_data(folding)["engines"][1]["spram"] is True
    file.write_text('{"engines": [{"populations": ["p0"], "spram": 1}]}')
    with pytest.raises(InputError, match=r"spram is true or false: .* has 1"):
        read_folding(file)


def test_the_image_holds_the_weights_and_names_the_design() -> None:
    plan = with_spram(make_plan(SMALL))
    form, image = plan_flash(plan)
    parsed = parse_flash_image(image)
    assert parsed.design == form.design == design_number(plan)
    assert parsed.words == plan.sprams[0]
    other = with_spram(make_plan(dense((16, 20, 8), seed=2)))
    assert design_number(other) != form.design


def test_the_design_number_is_the_same_in_every_process(tmp_path: Path) -> None:
    """The order of a set of words depends on the process."""
    write_nir(SMALL, tmp_path / "net.nir")
    script = (
        "from pathlib import Path; from spikeloom.compiler import read_nir; "
        "from spikeloom.compiler.plan.plan import make_plan; "
        "from spikeloom.compiler.output.flash_image import design_number; "
        "print(design_number(make_plan(read_nir(Path('net.nir')))))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    ]
    assert found == [f"{design_number(make_plan(SMALL))}\n"] * 3


# --------------------------------------------------------------------------------------------------- simulation


@pytest.mark.parametrize("level", ["rtl", pytest.param("netlist", marks=pytest.mark.slow)])
def test_a_simulator_loads_the_verilog(level: str) -> None:
    folding = with_spram(make_plan(SMALL)).folding
    got = run_verilog(SMALL, SPIKES, membranes=True, level=level, folding=folding, stress=1)
    assert_equal(got, SMALL, SPIKES)


@pytest.mark.slow
def test_a_large_network_is_exact() -> None:
    spikes = random_spikes(1, BIG, samples=2, steps=4, rate=0.3)
    assert_equal(run_amaranth(with_spram(make_plan(BIG)), spikes, membranes=True), BIG, spikes)


LINK = LinkFormat(inputs=16, outputs=8, fifo_words=32)

WRAPPER = """
module board(input {clock}, {rx}, output {tx});
    wire cs_n, sck, copi, cipo;
    top top(
        .{clock}({clock}), .{rx}({rx}), .{tx}({tx}),
        .spi_flash_1x_0__cs__io(cs_n), .spi_flash_1x_0__clk__io(sck), .spi_flash_1x_0__copi__io(copi),
        .spi_flash_1x_0__cipo__io(cipo)
    );
    spi_flash #(.FILE("{file}")) flash(.cs_n(cs_n), .sck(sck), .copi(copi), .cipo(cipo));
endmodule
"""


def emit_board(folder: Path, plan: Plan, flash: bytes) -> UartTop:
    """An iCEBreaker with this plan's core, and a flash with these contents."""
    board = BOARDS["icebreaker"]
    clock = plan_clock(board)
    form = plan_flash(plan)[0]
    core = FlashedCore(LinkedCore(plan.core(), LINK, 8, plan.family), form)
    files = board.create_platform().prepare(BoardTop(core, board, clock), "top", emit_src=False).files
    (folder / "top.il").write_text(with_words(files["top.il"]), encoding="utf-8")
    verilog_from_rtlil(folder / "top.il", folder / "top.v", folder / "log")
    (folder / "flash.hex").write_text("\n".join(f"{byte:02x}" for byte in flash), encoding="ascii")
    text = (folder / "top.v").read_text(encoding="utf-8")
    ports = re.findall(r"\w+", re.search(r"^module top\((.*?)\)", text, re.MULTILINE)[1])  # type: ignore[index]
    pins = {"clock": next(p for p in ports if p.startswith("clk")), "rx": "uart_0__rx__io", "tx": "uart_0__tx__io"}
    wrapper = WRAPPER.format(**pins, file=folder / "flash.hex")
    model = Path(__file__).with_name("spi_flash.v").read_text(encoding="utf-8")
    (folder / "board.v").write_text(text + wrapper + model, encoding="utf-8")
    return UartTop(
        verilog=folder / "board.v",
        top="board",
        **pins,
        clock_hz=clock.hz,
        clocks_per_bit=8,
        reset_cycles=clock.reset_cycles + (4430 + 32 * form.words) // 2,
    )


def emit_simulated(folder: Path, plan: Plan) -> tuple[UartTop, LinkFacts]:
    """The same board for a program that has the flash itself, and what a host must know of it."""
    emit_board(folder, plan, b"")
    pins = {name: f"spi_flash_1x_0__{pin}__io" for name, pin in (("cs", "cs"), ("sck", "clk"), ("copi", "copi"))}
    flash = FlashPins(
        **pins, cipo="spi_flash_1x_0__cipo__io", active_low=True, load_cycles=load_cycles(plan_flash(plan)[0].words)
    )
    top = UartTop(
        verilog=folder / "top.v",
        top="top",
        clock="clk12_0__io",
        rx="uart_0__rx__io",
        tx="uart_0__tx__io",
        clock_hz=12e6,
        clocks_per_bit=8,
        reset_cycles=180,
        flash=flash,
    )
    return top, facts_of(top, SMALL, LINK)


def flash_of(plan: Plan) -> bytes:
    form, image = plan_flash(plan)
    return join_flash(b"\x7e" * 1000, form, image)


def test_weights_travel_from_flash_to_the_core_of_a_board(tmp_path: Path) -> None:
    plan = with_spram(make_plan(SMALL))
    got = run_through_uart(emit_board(tmp_path, plan, flash_of(plan)), SMALL, SPIKES, LINK)
    expected = run_reference(SMALL, SPIKES).spikes
    assert expected.any()
    assert np.array_equal(got.spikes, expected)


def test_a_simulated_board_has_the_flash_that_it_is_given(tmp_path: Path) -> None:
    plan = with_spram(make_plan(SMALL))
    top, facts = emit_simulated(tmp_path, plan)
    program = build_board(top, quiet_cycles=100_000)
    (tmp_path / "flash.bin").write_bytes(flash_of(plan))
    with SimulatedBoard(program, tmp_path / "flash.bin") as board, Board(board.port, facts) as host:
        answers = host.predict(SPIKES)
    assert answers.spikes is not None and np.array_equal(answers.spikes, run_reference(SMALL, SPIKES).spikes)
    (tmp_path / "flash.bin").write_bytes(flash_of(with_spram(make_plan(dense((16, 20, 8), seed=2)))))
    with (
        SimulatedBoard(program, tmp_path / "flash.bin") as board,
        Board(board.port, facts) as host,
        pytest.raises(LineError, match=r"^a design with weights in flash needs them there: .* spikeloom flash"),
    ):
        host.predict(SPIKES)


def test_a_board_without_its_weights_says_so(tmp_path: Path) -> None:
    flash = flash_of(with_spram(make_plan(dense((16, 20, 8), seed=2))))
    board = emit_board(tmp_path, with_spram(make_plan(SMALL)), flash)
    frames = [Transmission.of(frame) for frame in encode_sample(LINK, SPIKES[0])]
    replies = exchange(board, frames, LINK)
    assert {reply.code for reply in replies} == {Code.ERROR}
    assert {reply.reason for reply in replies} == {Reason.FLASH}


# ------------------------------------------------------------------------------------------------------- boards


def test_boards_with_spram_reach_their_flash(tmp_path: Path) -> None:
    plan = with_spram(make_plan(SMALL))
    for board in all_boards():
        assert (board.flash is None) == (board.device.capacity.spram == 0)
        if board.flash is not None:
            core = FlashedCore(LinkedCore(plan.core(), LINK, 8, plan.family), plan_flash(plan)[0])
            files = board.create_platform().prepare(BoardTop(core, board, plan_clock(board)), "top").files
            for name, pin in (("cs", 16), ("clk", 15), ("copi", 14), ("cipo", 17)):  # where configuration reads it
                assert f"set_io spi_flash_1x_0__{name}__io {pin}\n" in files["top.pcf"]


def test_the_light_blinks_during_an_alarm() -> None:
    light = ActivityLight(1000.0)

    async def check(ctx: Any) -> None:
        shown = []
        for cycle in range(1000):
            ctx.set(light.alarm, 200 <= cycle < 800)
            await ctx.tick()
            shown.append(ctx.get(light.light))
        flanks = np.flatnonzero(np.diff(shown))
        assert not any(shown[:200])
        assert 10 <= len(flanks) / 2 / 0.6 <= 20
        assert not any(shown[900:])

    simulator = Simulator(light)
    simulator.add_clock(1e-3)
    simulator.add_testbench(check)
    simulator.run()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (CompileOptions(board="icestick", weights="spram"), "weights in SPRAM need an iCE40UP5K: icestick has none"),
        (CompileOptions(verilog_only=True, weights="spram"), "weights in SPRAM need an iCE40UP5K: no target is given"),
    ],
)
def test_spram_is_refused_where_there_is_none(tmp_path: Path, options: CompileOptions, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        compile_network(SMALL, tmp_path / "out", options)


@pytest.mark.slow
def test_a_large_network_becomes_a_bitstream_and_an_image(tmp_path: Path) -> None:
    folder = compile_network(BIG, tmp_path / "out", CompileOptions(board="icebreaker"))
    used = folder.report()["utilization"]
    assert (used["spram"]["used"], used["spram"]["available"]) == (1, 4)
    assert used["brams"]["used"] <= 12
    assert any("write flash.bin" in warning for warning in folder.report()["warnings"])
    image = (folder.path / WEIGHTS).read_bytes()
    flash = (folder.path / FLASH).read_bytes()
    assert parse_flash_image(image).words == with_spram(make_plan(BIG)).sprams[0]
    assert flash.startswith((folder.path / "top.bin").read_bytes())
    assert flash.endswith(image)
    assert {WEIGHTS, FLASH} <= folder.manifest["outputs"].keys()


@pytest.mark.slow
def test_a_bare_device_shows_its_flash_pins(tmp_path: Path) -> None:
    plan = with_spram(make_plan(SMALL))
    core = FlashedCore(LinkedCore(plan.core(), LINK, 12, plan.family), plan_flash(plan)[0])
    target = find_board("icebreaker").device
    assert build(core, target, tmp_path).utilisation.used.spram == 1
    ports = re.search(r"^module top\((.*?)\)", (tmp_path / "top.v").read_text(encoding="utf-8"), re.MULTILINE)
    assert ports is not None
    assert {"clk", "rx", "tx", "cs", "sck", "copi", "cipo", "failed"} <= set(re.findall(r"\w+", ports[1]))
