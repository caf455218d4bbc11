"""Other weights in a finished bitstream: what is written, what stays, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from networks import chain, random_spikes
from spikeloom.boards.devices import find_device
from spikeloom.boards.host.board import Board
from spikeloom.boards.host.facts import read_facts
from spikeloom.boards.routed_memories import read_words
from spikeloom.boards.toolchain import Exchange, build, rewrite, unpacked
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.data.images import encode
from spikeloom.compiler.data.samples import Samples
from spikeloom.compiler.flow import reload as flow
from spikeloom.compiler.flow.board_pins import board_program
from spikeloom.compiler.flow.compile import compile_network
from spikeloom.compiler.flow.exchange import LAYOUT, read_layout, same_logic
from spikeloom.compiler.flow.options import CompileOptions
from spikeloom.compiler.flow.reload import reload_weights
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.output.build_folder import BuildFolder, is_build, load_build_folder
from spikeloom.compiler.plan.folding import Folding
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.hdl.errors import InputError, LineError, MismatchError, OptionError
from spikeloom.hdl.images.coding import Decoder, Encoder, ImageCoding
from spikeloom.hdl.memories.memory import NEVER_LOGIC, Family, MemoryShape, ShapedMemory
from spikeloom.sim.reference import run_reference
from spikeloom.sim.simulated_board import SimulatedBoard

BUILT, RETRAINED = chain(1, (8, 6, 4)), chain(2, (8, 6, 4))
SPIKES = random_spikes(3, BUILT, samples=3, steps=5)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# --------------------------------------------------------------------------------------------- in the tools alone


class Recall(wiring.Component):
    """A serial core that is nothing but a memory: 300 words of 12 bits, in two columns of an iCE40's blocks."""

    rx: Signal
    tx: Signal
    activity: Signal

    def __init__(self, shape: MemoryShape, words: list[int]) -> None:
        self._memory = ShapedMemory(shape, words)
        super().__init__({"rx": In(1, init=1), "tx": Out(1), "activity": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = words = self._memory
        taken = Signal(12)
        m.d.sync += [words.read_address.eq(words.read_address + self.rx), taken.eq(taken ^ words.read_data)]
        m.d.comb += [words.read_enable.eq(1), self.tx.eq(taken.xor()), self.activity.eq(taken[0])]
        return m


def test_a_bitstream_holds_the_words_that_took_the_place_of_others(tmp_path: Path) -> None:
    shape, device = MemoryShape(Family.ICE40, 304, 12, logic_luts=NEVER_LOGIC), find_device("hx1k")
    rng = np.random.default_rng(1)
    laid, true, later = (rng.integers(0, 1 << 12, 304).tolist() for _ in range(3))
    blocks = {f"block{number}": block for number, block in enumerate(shape.blocks)}
    exchange = Exchange(
        stand_in=Recall(shape, laid),
        bits={name: block.high - block.low for name, block in blocks.items()},
        laid={name: block.contents(laid) for name, block in blocks.items()},
        true={name: block.contents(true) for name, block in blocks.items()},
    )
    built = build(Recall(shape, true), device, tmp_path, exchange=exchange)
    assert same_logic(tmp_path / "top.il", tmp_path / "top_laid.il")
    assert len({block.place for block in built.blocks.values()}) == len(blocks) == 2
    places = {name: (built.blocks[name], block.words) for name, block in blocks.items()}
    first = built.bitstream.read_bytes()
    for words in (true, later):
        wanted = {name: block.contents(words) for name, block in blocks.items()}
        if words is later:
            rewrite(device, tmp_path, {built.blocks[name]: held for name, held in wanted.items()})
        assert read_words(unpacked(device, tmp_path), Family.ICE40, places) == wanted
    assert len(first) == built.bitstream.stat().st_size
    assert first != built.bitstream.read_bytes()


# ------------------------------------------------------------------------------------------------- whole builds


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> BuildFolder:
    folder = tmp_path_factory.mktemp("reload") / "built"
    return compile_network(BUILT, folder, CompileOptions(device="hx1k", headroom=0.3))


@pytest.mark.slow
def test_a_reloaded_build_is_another_build_of_the_same_logic(tmp_path: Path, built: BuildFolder) -> None:
    before = contents(built.path)
    samples = Samples(spikes=SPIKES)
    done = reload_weights(built, RETRAINED, output=tmp_path / "new", samples=samples)
    assert contents(built.path) == before
    assert done.regression is not None and done.regression.samples == 3
    assert done.reloads == read_layout(done.build.path).reloads == 1
    assert 0 < done.changed < done.words
    assert is_build(done.build.path)
    after = contents(done.build.path)
    assert after.keys() == before.keys() | {"logs/icepack.console.log"} & after.keys()
    same = {"top_laid.il", "layout.nir", "folding.json", "nextpnr.json"}
    assert {name for name in same if after[name] != before[name]} == set()
    assert {
        name for name in ("top.bin", "top.asc", "core.v", "top.v", "network.nir") if after[name] == before[name]
    } == set()
    facts, old = read_facts(done.build.path), read_facts(built.path)
    assert (facts.identity, old.identity) == (done.identity, done.identity_before)
    assert facts.identity != old.identity
    report, told = done.build.report(), built.report()
    assert report["exchange"] == {"headroom": 0.3, "reloads": 1} and told["exchange"]["reloads"] == 0
    assert report["utilization"] == told["utilization"] and report["timing"] == told["timing"]
    expected = run_reference(RETRAINED, SPIKES).spikes
    assert np.array_equal(run_reference(read_nir(done.build.network_file), SPIKES).spikes, expected)
    again = reload_weights(done.build, BUILT, output=tmp_path / "back")
    assert again.reloads == 2 and again.identity == done.identity_before
    assert (again.build.path / "top.bin").read_bytes() == before["top.bin"]


@pytest.mark.slow
def test_a_simulated_board_has_the_new_weights_and_is_refused_as_the_old_one(
    tmp_path: Path, built: BuildFolder
) -> None:
    done = reload_weights(built, RETRAINED, output=tmp_path / "new")
    expected = run_reference(RETRAINED, SPIKES).spikes
    with SimulatedBoard(board_program(done.build)) as board:
        with Board(board.port, done.build.path) as host:
            assert np.array_equal(host.predict(SPIKES).spikes, expected)
        with (
            pytest.raises(LineError, match="a board must have the build's design"),
            Board(board.port, built.path) as host,
        ):
            host.predict(SPIKES)


@pytest.mark.slow
def test_a_reload_that_fails_leaves_the_old_build(
    tmp_path: Path, built: BuildFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(built.path, folder)
    before = contents(folder)

    def breaks(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(flow, "check_bitstream", breaks)
        with pytest.raises(KeyboardInterrupt):
            reload_weights(load_build_folder(folder), RETRAINED)
    with monkeypatch.context() as patched:  # a word that did not get there
        patched.setattr(flow, "rewrite", lambda *_, **__: folder / "top.bin")
        with pytest.raises(MismatchError, match=r"word 0 of .* in the bitstream is 0x"):
            reload_weights(load_build_folder(folder), RETRAINED)
    assert contents(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.slow
def test_builds_and_networks_that_do_not_suit_are_refused(
    tmp_path: Path, built: BuildFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, change, message in (
        ("top.bin", b"another", "weights are exchanged in a build as it was written: top.bin"),
        ("top_laid.il", b"# another", "weights are exchanged in a build as it was written: top_laid.il"),
    ):
        folder = tmp_path / name
        shutil.copytree(built.path, folder)
        (folder / name).write_bytes(change)
        with pytest.raises(InputError, match=message):
            reload_weights(load_build_folder(folder), RETRAINED)
    model = tmp_path / "other.nir"
    write_nir(chain(2, (8, 6, 5)), model)
    before = contents(built.path)
    assert main(["reload", str(built.path), str(model)]) == 2
    assert "population 'p1' was [4] and is [5]" in capsys.readouterr().err
    write_nir(RETRAINED, model)
    assert main(["reload", str(built.path), str(model), "--output", str(tmp_path / "new"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (
        told["reloads"] == 1 and told["samples_compared"] == 0 and told["words_read_back"] > told["words_changed"] > 0
    )
    assert contents(built.path) == before


@pytest.mark.slow
@pytest.mark.parametrize("target", [{"device": "lfe5u-25f"}, {"board": "icebreaker", "weights": "spram"}], ids=str)
def test_weights_are_exchanged_on_ecp5_and_in_flash(tmp_path: Path, target: dict[str, str]) -> None:
    made = compile_network(BUILT, tmp_path / "built", CompileOptions(headroom=0.3, **target))
    done = reload_weights(made, RETRAINED, samples=Samples(spikes=SPIKES))
    assert done.regression is not None and done.changed > 0
    if "board" in target:
        program, flash = board_program(done.build), done.build.path / "flash.bin"
        with SimulatedBoard(program, flash) as board, Board(board.port, done.build.path) as host:
            assert np.array_equal(host.predict(SPIKES).spikes, run_reference(RETRAINED, SPIKES).spikes)


LANES = Folding(engines=(engine_folding(("p0",), lanes=3), engine_folding(("p1",))))
VECTOR = Folding(engines=(engine_folding(("p0",), kind="vector", lanes=6), engine_folding(("p1",))))
CODING = ImageCoding(encoder=Encoder.RATE, steps=5, decoder=Decoder.COUNTS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"board": "icebreaker", "spi": True, "folding": LANES},
        {"board": "icestick", "coding": CODING, "packed": True},
        {"board": "icebreaker", "packed": True, "seeds": 2, "folding": VECTOR},
        {"board": "icebreaker", "weights": "spram", "folding": LANES, "spi": True},
        {"board": "icebreaker", "weights": "spram", "folding": VECTOR},
        {"board": "ulx3s-12f", "folding": VECTOR, "coding": CODING, "packed": True},
        {"board": "icebreaker", "minimise": "latency"},
    ],
    ids=lambda options: "-".join(options),
)
def test_weights_are_exchanged_in_every_design_that_can_have_headroom(tmp_path: Path, options: dict[str, Any]) -> None:
    made = compile_network(BUILT, tmp_path / "built", CompileOptions(headroom=1.5, **options))  # two bits for a bias
    images = np.random.default_rng(4).integers(0, 256, (3, 8)).astype(np.uint8) if "coding" in options else None
    spikes = SPIKES if images is None else encode(images, CODING)
    done = reload_weights(made, RETRAINED, samples=Samples(spikes=spikes, images=images))
    assert done.regression is not None and done.changed > 0
    expected, flash = run_reference(RETRAINED, spikes).spikes, done.build.path / "flash.bin"
    with (
        SimulatedBoard(board_program(done.build), flash if flash.exists() else None) as board,
        Board(board.port, done.build.path) as host,
    ):
        answers = host.predict(SPIKES if images is None else images)
    if images is None:
        assert np.array_equal(answers.spikes, expected)
    else:
        assert np.array_equal(answers.counts, expected.sum(axis=1))


def test_a_build_without_headroom_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OptionError, match=f"{tmp_path} was built without; compile it again with --headroom 10%"):
        read_layout(tmp_path)
    (tmp_path / LAYOUT).write_text('{"schema_version": 7}')
    (tmp_path / "layout.nir").touch()
    with pytest.raises(InputError, match="a layout"):
        read_layout(tmp_path)
    assert main(["reload", str(tmp_path / "none"), "model.nir"]) == 2
    assert "a build folder must exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-1%", "must be 0 or more"),
        ("ten", "must be a number"),
        ("2000%", "headroom is a share of 0 to 1000%: got 20; choose 10%"),
    ],
)
def test_headroom_that_is_no_share_is_refused(text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "m.nir", "--device", "hx1k", f"--headroom={text}"]) == 2
    assert message in capsys.readouterr().err


def test_headroom_is_for_bitstreams(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "m.nir", "--emit", "verilog", "--headroom", "10%"]) == 2
    assert "headroom is for a bitstream in which weights are exchanged" in capsys.readouterr().err
