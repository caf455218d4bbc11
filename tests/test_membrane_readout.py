"""Membranes out of the hardware: the readout alone, cores that give readings, the link that carries them."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.sim import Simulator
from networks import chain, connect, random_population, random_spikes
from spikeloom.compiler.cycles.count import count_cycles
from spikeloom.compiler.data.samples import Samples
from spikeloom.compiler.estimate.candidates import candidate_foldings
from spikeloom.compiler.estimate.estimate import estimate
from spikeloom.compiler.flow.compile import CompileOptions, compile_network
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.ir.network import INPUT, Network
from spikeloom.compiler.ir.neurons import Decay, Drive, IntegerDynamics, Kind, ResetMode
from spikeloom.compiler.plan.folding import Folding, check_folding, pipelined_folding, shared_folding
from spikeloom.compiler.plan.host_link import link_of
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.compiler.plan.readout import (
    answered,
    folded_readout,
    readout_of,
    require_answer,
    require_folded_answer,
)
from spikeloom.compiler.report.page import render_html
from spikeloom.compiler.report.wording import readings_text
from spikeloom.hdl.errors import MismatchError, ModelError, OptionError, SampleError
from spikeloom.hdl.images.coding import Decoder, Encoder, ImageCoding
from spikeloom.hdl.link.linked_core import LinkedCore
from spikeloom.hdl.link.protocol import (
    Code,
    LinkError,
    LinkFormat,
    Reply,
    ReplyDecoder,
    crc_bytes,
    encode_image,
    encode_sample,
    image_bytes,
    reply_class,
    sample_bytes,
    slip,
)
from spikeloom.hdl.memories.memory import Family
from spikeloom.hdl.neurons.readout import MembraneKind, MembraneReadout, ReadoutFormat
from spikeloom.hdl.streams.tokens import TokenKind
from spikeloom.sim.amaranth_executor import measure_cycles, run_amaranth
from spikeloom.sim.divergence import check_readings
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.image_executor import check_image_readings, reference_classes, run_images
from spikeloom.sim.observer import ProtocolError, ReadingObserver
from spikeloom.sim.readout import readings
from spikeloom.sim.reference import run_reference
from spikeloom.sim.regress import regress_core
from spikeloom.sim.uart_executor import check_host, run_through_uart
from spikeloom.sim.verilog_executor import core_in, emit_core
from test_link import CLOCKS_PER_BIT, Host

KINDS = [kind.value for kind in MembraneKind]


def form_of(kind: str, outputs: int, bits: int = 9, **changes: Any) -> ReadoutFormat:
    kind_ = MembraneKind(kind)
    wide = {MembraneKind.SUM: bits + 7}.get(kind_, bits)
    form = ReadoutFormat(
        kind=kind_,
        outputs=outputs,
        membrane_bits=bits,
        value_bits=wide,
        names_class=kind_ is not MembraneKind.EVERY,
    )
    return replace(form, **changes)


# --------------------------------------------------------------------------------------------------- the readout


def said(form: ReadoutFormat, samples: list[list[list[int]]], stalls: int | None, aborts: bool = False) -> list[Any]:
    """What comes out for samples [sample][step][output]: per step its readings and (kind, class)."""
    dut = MembraneReadout(form, Family.ICE40)
    tokens: list[tuple[Any, int, int, int]] = []
    for sample in samples:
        for number, step in enumerate(sample):
            last = number == len(sample) - 1
            tokens += [(TokenKind.EVENT, n, int(last and not aborts), value) for n, value in enumerate(step)]
            end = TokenKind.END_OF_SAMPLE if last else TokenKind.END_OF_STEP
            tokens.append((TokenKind.ABORT if last and aborts else end, 0, 0, 0))
    seen: list[Any] = []

    async def write(ctx: Any) -> None:
        rng = np.random.default_rng(stalls)
        for kind, address, last, value in tokens:
            while stalls is not None and rng.random() < 0.3:
                await ctx.tick()
            ctx.set(dut.i.payload, {"kind": kind, "address": address, "last": last, "value": value})
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)

    async def read(ctx: Any) -> None:
        rng = np.random.default_rng(stalls)
        values: list[int] = []
        while len(seen) < sum(map(len, samples)):
            ready = stalls is None or rng.random() < 0.4
            ctx.set(dut.o.ready, int(ready))
            _, _, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            if valid and ready and payload.kind == TokenKind.EVENT:
                assert payload.address == len(values)
                values.append(payload.value)
            elif valid and ready:
                seen.append((values, TokenKind(payload.kind), payload.address))
                values = []

    m = Module()
    m.submodules.dut = dut
    m.d.sync += Signal().eq(0)  # that of the last membranes has no clock of its own
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(write, background=True)
    simulator.add_testbench(read)
    simulator.run()
    return seen


@pytest.mark.parametrize("stalls", [None, 1], ids=["full speed", "stalled"])
@pytest.mark.parametrize("outputs", [1, 2, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_readings_are_those_of_numpy(kind: str, outputs: int, stalls: int | None) -> None:
    form = form_of(kind, outputs)
    rng = np.random.default_rng(outputs)
    membranes = rng.integers(-256, 256, (4, 5, outputs))
    membranes[1] = membranes[1].min()  # ties everywhere, below 0
    membranes[2] = 255
    given, classes = readings(form, membranes)
    for sample, steps in enumerate(np.array(said(form, membranes.tolist(), stalls), dtype=object).reshape(4, 5, 3)):
        for step, (values, kind_, named) in enumerate(steps):
            last = step == 4
            assert kind_ is (TokenKind.END_OF_SAMPLE if last else TokenKind.END_OF_STEP)
            assert values == (given[sample, step].tolist() if form.every_step or last else [])
            assert not (last and form.names_class) or named == classes[sample, step, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_an_aborted_sample_leaves_nothing(kind: str) -> None:
    form = form_of(kind, 3)
    dropped, kept = [[[200, 201, 202], [100, 150, 90]]], [[[-9, -3, -3], [-8, -8, -4]]]
    both = said(form, dropped, None, aborts=True)
    assert both[-1][1] is TokenKind.ABORT and (form.every_step or both[-1][0] == [])
    joined = said_after_abort(form, dropped[0], kept[0])
    given, classes = readings(form, np.array(kept))
    assert joined[-1][0] == given[0, -1].tolist()
    assert not form.names_class or joined[-1][2] == classes[0, -1, 0]


def said_after_abort(form: ReadoutFormat, dropped: list[list[int]], kept: list[list[int]]) -> list[Any]:
    """A sample whose first steps are dropped by an abort: the readout sees both in one run."""
    dut = MembraneReadout(form, Family.ECP5)
    seen: list[Any] = []

    async def play(ctx: Any) -> None:
        ctx.set(dut.o.ready, 1)
        for steps, end in ((dropped, TokenKind.ABORT), (kept, TokenKind.END_OF_SAMPLE)):
            for number, step in enumerate(steps):
                last = number == len(steps) - 1
                mark = int(last and end is TokenKind.END_OF_SAMPLE)
                tokens = [(TokenKind.EVENT, n, mark, value) for n, value in enumerate(step)]
                tokens.append((end if last else TokenKind.END_OF_STEP, 0, 0, 0))
                values = []
                for kind, address, flag, value in tokens:
                    ctx.set(dut.i.payload, {"kind": kind, "address": address, "last": flag, "value": value})
                    ctx.set(dut.i.valid, 1)
                    _, _, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
                    if valid and payload.kind == TokenKind.EVENT:
                        values.append(payload.value)
                    elif valid:
                        seen.append((values, TokenKind(payload.kind), payload.address))
            ctx.set(dut.i.valid, 0)

    m = Module()
    m.submodules.dut = dut
    m.d.sync += Signal().eq(0)
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(play)
    simulator.run()
    return seen


def test_what_is_kept_is_a_word_for_each_output_and_nothing_where_nothing_is() -> None:
    assert form_of("membrane-last", 10).memory(Family.ICE40) is form_of("membranes", 10).memory(Family.ICE40) is None
    assert form_of("membrane-max", 1).memory(Family.ICE40) is None  # a register
    shape = form_of("membrane-sum", 10, bits=12).memory(Family.ICE40)
    assert shape is not None and (shape.depth, shape.width, shape.brams) == (10, 19, 2)
    assert form_of("membrane-sum", 10, bits=12).most_steps == 128
    with pytest.raises(SampleError, match="hold 128 steps: the samples have 129; cut them"):
        readings(form_of("membrane-sum", 1, bits=12), np.zeros((1, 129, 1), np.int64))


# ------------------------------------------------------------------------------------------------------ networks


def integrating(seed: int, sizes: tuple[int, ...], by: str = "membrane-last") -> Network:
    """A chain that ends with leaky integrators."""
    network = chain(seed, sizes)
    output = network.populations[-1]
    assert isinstance(output.dynamics, IntegerDynamics)
    dynamics = replace(output.dynamics, kind=Kind.LI, fire=0, sub=0)
    return replace(network, populations=(*network.populations[:-1], replace(output, dynamics=dynamics))).with_readout(
        by
    )


def filtered(seed: int, sizes: tuple[int, ...], by: str = "membrane-last", drive: str = "new") -> Network:
    """A chain that ends with leaky integrators of synaptic currents."""
    network = integrating(seed, sizes, by)
    output = network.populations[-1]
    currents = {"kind": Kind.CUBALI, "decay_syn": Decay(c=5, k=4), "drive": Drive(drive)}
    dynamics = replace(output.dynamics, **currents)
    return replace(network, populations=(*network.populations[:-1], replace(output, dynamics=dynamics)))


def never_reset(seed: int, sizes: tuple[int, ...], by: str = "membrane-last") -> Network:
    """A chain whose output fires, and resets nothing."""
    network = chain(seed, sizes)
    output = network.populations[-1]
    assert isinstance(output.dynamics, IntegerDynamics)
    dynamics = replace(output.dynamics, sub=0)
    return replace(network, populations=(*network.populations[:-1], replace(output, dynamics=dynamics))).with_readout(
        by
    )


NETWORKS: dict[str, Callable[..., Network]] = {
    "LI": integrating,
    "LIF without reset": never_reset,
    "CubaLI": filtered,
    "CubaLI, driven later": partial(filtered, drive="old"),
}


def vector_at_the_end(network: Network) -> Folding:
    *first, last = (population.name for population in network.populations)
    return Folding(engines=(*(engine_folding((n,)) for n in first), engine_folding((last,), kind="vector", lanes=0)))


FOLDINGS = {"shared": shared_folding, "pipelined": pipelined_folding, "vector": vector_at_the_end}


@pytest.mark.thinned(5)
@pytest.mark.parametrize("fold", FOLDINGS.values(), ids=FOLDINGS.keys())
@pytest.mark.parametrize("by", KINDS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_cores_give_the_references_readings(kind: str, by: str, fold: Callable[[Network], Folding]) -> None:
    """In every engine that gives membranes, under stress and by one readout at full speed; cycles are the model's."""
    sizes = {"membrane-last": (8, 5, 3), "membrane-max": (6, 4, 1), "membrane-sum": (7, 3), "membranes": (5, 6, 4)}[by]
    network = NETWORKS[kind](3, sizes, by)
    spikes = random_spikes(5, network, samples=2, steps=3)
    expected = run_reference(network, spikes, membranes=True)
    plan = make_plan(network, folding=fold(network))
    assert plan.readout is not None
    for stress in (None, 7) if by == "membranes" else (7,):
        got = run_amaranth(plan, spikes, membranes=True, stress=stress)
        assert got.membranes is not None
        assert expected.membranes is not None
        assert np.array_equal(got.membranes, expected.membranes)
        assert np.array_equal(got.spikes, expected.spikes)
        assert np.array_equal(got.predicted, expected.predicted)
    assert count_cycles(plan, expected.trains(spikes)) == measure_cycles(plan, spikes)


def test_the_class_is_that_of_the_executors() -> None:
    network = integrating(4, (9, 6, 5), "membrane-max")
    spikes = random_spikes(5, network, samples=6, steps=5)
    reference = run_reference(network, spikes)
    assert reference.membranes is not None
    form = readout_of(network)
    assert form is not None
    assert readings(form, reference.membranes)[1][:, -1, 0].tolist() == reference.predicted.tolist()
    assert len(set(reference.predicted.tolist())) > 1


def test_other_cores_have_no_readout() -> None:
    network = chain(3, (9, 6, 5))
    assert make_plan(network).readout is None and "readout" not in {m.role for m in make_plan(network).memories}
    assert make_plan(never_reset(3, (9, 6, 5)).with_readout("spikes")).readout is None
    assert [m.brams for use in make_plan(integrating(3, (9, 6, 5), "membrane-sum")).memories
            if use.role == "readout" for m in [use.shape]] == [2]  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"lanes": 2}, r"membranes leave an engine in order: that of 'p1' has 2 lanes, .* the nearest has 1"),
        ({"skips": True}, r"an engine that passes in every step: that of 'p1' skips; the nearest does not"),
        ({"kind": "vector", "lanes": 0, "neurons_per_cycle": 2}, r"one per cycle: .* neurons_per_cycle 2; the near"),
    ],
)
def test_engines_that_cannot_give_membranes_say_so(engine: dict[str, Any], message: str, tmp_path: Path) -> None:
    network = integrating(3, (9, 6, 4))
    folding = Folding(engines=(engine_folding(("p0",)), engine_folding(("p1",), **engine)))
    check_folding(network, folding)
    assert make_plan(network, folding=folding).readout is None  # its traces still show them
    with pytest.raises(ModelError, match=message):
        require_folded_answer(network, folding)
    with pytest.raises(ModelError, match=message):
        compile_network(network, tmp_path / "b", CompileOptions(verilog_only=True, folding=folding))


def test_foldings_that_are_weighed_give_membranes() -> None:
    network = integrating(3, (9, 6, 4))
    foldings = list(candidate_foldings(network))
    assert len(foldings) > 5 and all(folded_readout(network, folding) is not None for folding in foldings)


def test_membranes_of_other_outputs_are_refused_by_name(tmp_path: Path) -> None:
    resetting = chain(3, (9, 6, 4)).with_readout("membrane-max")
    with pytest.raises(ModelError, match=r"never resets: population 'p1' resets by subtraction and is read by membrane-"
                       r"max; read it by spikes or first-spike \(--readout\), or end the network with LI"):  # fmt: skip
        require_answer(resetting)
    to_value = chain(3, (9, 4), reset_mode=ResetMode.VALUE).with_readout("membranes")
    with pytest.raises(ModelError, match="population 'p0' resets to a value and is read by membranes"):
        compile_network(to_value, tmp_path / "b", CompileOptions(verilog_only=True))
    network = never_reset(3, (9, 6, 4))
    output = network.populations[-1]
    assert isinstance(output.dynamics, IntegerDynamics)
    scaled = replace(output, dynamics=replace(output.dynamics, scale=np.array([1.0, 1.0, 0.5, 1.0])))
    with pytest.raises(ModelError, match=r"have one unit: the neurons of population 'p1' have a weight scale each.*"
                       "compress the float network with --readout membrane-last"):  # fmt: skip
        require_answer(replace(network, populations=(network.populations[0], scaled)))


def test_an_output_that_leads_on_gives_no_membranes() -> None:
    rng = np.random.default_rng(1)
    network = integrating(3, (9, 6, 4))
    behind = random_population(rng, "behind", 3)
    leading = replace(
        network,
        populations=(*network.populations, behind),
        projections=(*network.projections, connect(rng, "p1", "behind", (4, 3))),
    )
    with pytest.raises(
        ModelError, match="whose membranes are read leads nowhere: population 'p1' projects to 'behind'"
    ):
        require_answer(leading)
    assert make_plan(leading).readout is None


def test_hardware_answers_the_last_membranes_where_nobody_chose() -> None:
    network = replace(integrating(3, (9, 4)), readout=None)
    assert str(network.reading) == "membrane-sum" and str(answered(network).reading) == "membrane-last"
    assert answered(chain(3, (9, 4))).readout is None
    chosen = network.with_readout("membrane-max")
    assert answered(chosen) is chosen


# ------------------------------------------------------------------------------------------- what watches a core


def test_readings_out_of_turn_are_protocol_errors() -> None:
    def observer(**options: Any) -> ReadingObserver:
        return ReadingObserver(1, 2, 3, value_bits=4, **{"once": True, "names_class": True, **options})

    def reading(address: int, value: int) -> int:
        return TokenKind.EVENT.value | address << 2 | (value & 15) << 4

    with pytest.raises(ProtocolError, match="expected no more readings, got that of neuron 0"):
        observer().token(reading(0, 1))
    with pytest.raises(ProtocolError, match="expected the reading of neuron 0, got that of neuron 1"):
        observer(once=False).token(reading(1, 1))
    partly = observer(once=False)
    partly.token(reading(0, 1))
    with pytest.raises(ProtocolError, match="expected 3 readings, got 1"):
        partly.token(TokenKind.END_OF_STEP.value)
    whole = observer()
    assert whole.token(TokenKind.END_OF_STEP.value)
    for address in range(3):
        assert not whole.token(reading(address, address - 5))
    with pytest.raises(ProtocolError, match="expected the token END_OF_SAMPLE, got END_OF_STEP"):
        whole.token(TokenKind.END_OF_STEP.value)
    assert whole.token(TokenKind.END_OF_SAMPLE.value | 2 << 2)
    assert whole.readings[0, 1].tolist() == [-5, -4, -3] and whole.classes[0, :, 0].tolist() == [0, 2]
    with pytest.raises(ProtocolError, match="an extra EVENT token follows"):
        whole.token(reading(0, 1))


def test_a_wrong_reading_and_a_wrong_class_are_named() -> None:
    network = integrating(3, (9, 6, 4))
    form = readout_of(network)
    assert form is not None
    expected = readings(form, np.arange(24).reshape(2, 3, 4))
    for part, place, message in (
        (0, (1, 2, 3), "sample 1, step 2, population 'p1', neuron 3: reading expected 23, got 22"),
        (1, (0, 2, 0), "sample 0, step 2, population 'p1', neuron 0: class expected 3, got 2"),
    ):
        got = tuple(array.copy() for array in expected)
        got[part][place] -= 1
        with pytest.raises(MismatchError) as caught:
            check_readings(network, form, expected, (got[0], got[1]))
        assert str(caught.value) == message


@pytest.mark.parametrize(("by", "traced"), [("membrane-sum", False), ("membranes", True)])
def test_the_verilog_gives_the_references_readings(by: str, traced: bool, tmp_path: Path) -> None:
    network = integrating(3, (11, 7, 5), by)
    spikes = random_spikes(5, network, samples=2, steps=3)
    emit_core(network, "ice40", core_in(tmp_path, traced))
    expected = run_reference(network, spikes, membranes=True)
    run = regress_core(network, tmp_path, spikes, expected, traced=traced)
    assert run.readings is not None
    count = 2 * 5 if by == "membrane-sum" else 2 * 3 * 5
    assert (run.compared["reading"], run.compared.get("class", 0)) == (count, 2 if by == "membrane-sum" else 0)
    wrong = run_reference(network, spikes, membranes=True)
    assert wrong.membranes is not None
    wrong.membranes[1, 2, 3] += 1
    named = "membrane" if traced else "reading"
    with pytest.raises(MismatchError, match=f"sample 1, step 2, population 'p1', neuron 3: {named} expected"):
        regress_core(network, tmp_path, spikes, wrong, traced=traced)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["ice40", "ecp5"])
@pytest.mark.parametrize("by", KINDS)
def test_the_netlist_gives_the_references_readings(by: str, family: str, tmp_path: Path) -> None:
    network = integrating(3, (11, 7, 5), by)
    spikes = random_spikes(5, network, samples=2, steps=3)
    expected = run_reference(network, spikes, membranes=True)
    for traced in (True, False):
        emit_core(network, family, core_in(tmp_path, traced))
        regress_core(network, tmp_path, spikes, expected, traced=traced, family=family, level="netlist")


# ---------------------------------------------------------------------------------------------------------- link


class ReadoutHost(Host):
    """A host of a device that gives readings."""

    def __init__(self, network: Network, coding: ImageCoding | None = None) -> None:
        plan = make_plan(network)
        self.form = replace(link_of(network, coding), fifo_words=16)
        self.dut = LinkedCore(plan.core(), self.form, CLOCKS_PER_BIT, plan.family)
        self.replies: list[Reply] = []
        self.bytes_received = 0


def with_bits(network: Network, bits: int) -> Network:
    output = network.populations[-1]
    assert isinstance(output.dynamics, IntegerDynamics)
    wide = replace(output, dynamics=replace(output.dynamics, state_bits=bits))
    return replace(network, populations=(*network.populations[:-1], wide))


@pytest.mark.thinned(2)
@pytest.mark.parametrize(
    ("by", "bits", "outputs"),
    [
        ("membrane-last", 6, 4),
        ("membrane-last", 10, 4),
        ("membrane-max", 8, 300),
        ("membrane-sum", 12, 1),
        ("membranes", 17, 4),
        ("membranes", 8, 2),
    ],
)
def test_a_host_gets_the_readings(by: str, bits: int, outputs: int) -> None:
    network = with_bits(integrating(3, (6, 5, outputs), by), bits)
    spikes = random_spikes(5, network, samples=2, steps=3)
    membranes = run_reference(network, spikes, membranes=True).membranes
    host = ReadoutHost(network)
    frames = [frame for sample in spikes for frame in encode_sample(host.form, sample)]
    replies = host.run(host.sends_frames(frames))
    assert host.form.readout is not None and membranes is not None
    given, classes = readings(host.form.readout, membranes)
    answers = [reply for reply in replies if reply.code is not Code.ACCEPTED]
    assert [reply.code for reply in answers] == [Code.STEP, Code.STEP, Code.SAMPLE] * 2
    for number, reply in enumerate(answers):
        sample, step = divmod(number, 3)
        shown = by == "membranes" or step == 2
        assert list(reply.readings) == (given[sample, step].tolist() if shown else [])
        assert reply.predicted == (classes[sample, 2, 0] if step == 2 and by != "membranes" else None)
    sizes = [sample_bytes(host.form, *pair) for pair in zip(spikes, given, strict=True)]
    assert sum(from_device for _, from_device in sizes) == host.bytes_received


IMAGES = np.vstack([np.zeros(9), np.full(9, 255), np.random.default_rng(7).integers(0, 256, (3, 9))]).astype(np.uint8)


@pytest.mark.parametrize("by", KINDS)
def test_images_become_readings_and_a_class(by: str) -> None:
    network = integrating(29, (9, 9, 4), by)
    coding = ImageCoding(encoder=Encoder.RATE, steps=4, decoder=Decoder(by))
    plan = make_plan(network)
    run = run_images(plan, IMAGES, coding)
    expected = reference_classes(network, IMAGES, coding)
    assert run.classes.tolist() == expected.tolist() and len(set(expected.tolist())) > 1
    host = ReadoutHost(network, coding)
    frames = [encode_image(host.form, image) for image in IMAGES]
    replies = host.run(host.sends_frames(frames))
    assert [reply_class(host.form, reply) for reply in replies] == expected.tolist()
    assert run.readings is not None and plan.readout is not None
    assert [list(reply.readings) for reply in replies] == run.readings.reshape(len(IMAGES), -1).tolist()
    from spikeloom.compiler.data.images import encode

    spikes = encode(IMAGES, coding)
    check_image_readings(network, plan.readout, run_reference(network, spikes), run.readings)
    wrong = run.readings.copy()
    wrong[2, -1, 1] += 1
    with pytest.raises(MismatchError, match=r"sample 2, .*neuron 1: reading expected"):
        check_image_readings(network, plan.readout, run_reference(network, spikes), wrong)
    membranes = run_reference(network, spikes).membranes
    assert membranes is not None
    given, _ = readings(plan.readout, membranes)
    sizes = [image_bytes(host.form, *pair) for pair in zip(IMAGES, given, strict=True)]
    assert sum(from_device for _, from_device in sizes) == host.bytes_received


def test_replies_that_bring_no_readings_are_errors() -> None:
    form = link_of(integrating(3, (6, 5, 4)))
    decoder = ReplyDecoder(form)

    def fed(body: bytes) -> Reply | None:
        return [decoder.feed(byte) for byte in slip(body + crc_bytes(body))][-1]

    assert form.readout is not None and form.readout.value_bytes == 2
    whole = bytes([1, 0, 255, 255, 0, 0, 7, 1, 3, Code.SAMPLE])
    assert fed(whole) == Reply(Code.SAMPLE, readings=(1, -1, 0, 263), predicted=3)
    with pytest.raises(LinkError, match="readings are 2 bytes for each of 4 outputs"):
        fed(whole[1:])
    for reply in (Reply(Code.STEP), Reply(Code.SAMPLE), Reply(Code.SAMPLE, readings=(1, 2, 3, 4), predicted=4)):
        with pytest.raises(LinkError, match="an image is answered by readings"):
            reply_class(form, reply)
    assert reply_class(form, Reply(Code.SAMPLE, readings=(4, 4, 3, 2))) == 0


@pytest.mark.parametrize(
    ("by", "classes", "decoder", "message"),
    [
        ("membrane-last", None, Decoder.ARGMAX, "read by membrane-last; take --decoder membrane-last"),
        ("membrane-sum", 2, Decoder.MEMBRANE_SUM, "of 2 classes; leave out --encoder, or --classes"),
        ("membrane-sum", None, Decoder.COUNTS, "answers every output spike: .*; take --decoder membrane-sum"),
        ("membrane-sum", None, Decoder.MEMBRANE_MAX, "readings by membrane-max: .*; take --decoder membrane-sum"),
    ],
)
def test_decoders_answer_what_the_class_is_read_by(
    by: str, classes: int | None, decoder: Decoder, message: str, tmp_path: Path
) -> None:
    network = integrating(3, (9, 6, 4), by).with_readout(classes=classes)
    coding = ImageCoding(encoder=Encoder.RATE, steps=4, decoder=decoder)
    with pytest.raises(OptionError, match=message):
        compile_network(network, tmp_path / "b", CompileOptions(board="icebreaker", coding=coding))


def test_groups_are_the_hosts_to_join() -> None:
    network = integrating(3, (9, 6, 4), "membrane-sum").with_readout(classes=2)
    form = readout_of(network)
    assert form is not None and not form.names_class


@pytest.mark.parametrize("by", ["membrane-last", pytest.param("membranes", marks=pytest.mark.slow)])
def test_readings_travel_through_the_pins(by: str, tmp_path: Path) -> None:
    from board_tops import emit_top

    network = integrating(3, (11, 7, 5), by)
    spikes = random_spikes(5, network, samples=2, steps=3)
    form = link_of(network)
    got = run_through_uart(emit_top(tmp_path, "icebreaker", net=network, form=form), network, spikes, form)
    expected = run_reference(network, spikes)
    check_host(form, network, expected, got)
    assert got.predicted.tolist() == expected.predicted.tolist()
    assert got.readings is not None
    wrong = got.readings.copy()
    wrong[1, 2, 4] -= 1
    with pytest.raises(MismatchError, match="sample 1, step 2, population 'p1', neuron 4: reading expected"):
        check_host(form, network, expected, replace(got, readings=wrong))


# ------------------------------------------------------------------------------------------------------ estimate


def test_the_estimate_counts_what_a_readout_takes() -> None:
    spiking = make_plan(chain(3, (11, 7, 5)))
    figures = {by: estimate(make_plan(integrating(3, (11, 7, 5), by)), link=link_of(integrating(3, (11, 7, 5), by)))
               for by in KINDS}  # fmt: skip
    luts = {by: figure.resources.luts for by, figure in figures.items()}
    assert luts["membranes"] < luts["membrane-last"] < luts["membrane-max"]
    assert "readout" in figures["membrane-sum"].guessed
    assert "readout" not in estimate(spiking, link=link_of(spiking.network)).guessed
    kept = make_plan(integrating(3, (11, 7, 5), "membrane-sum"))
    assert figures["membrane-sum"].resources.brams == kept.brams + 1  # the link's store
    assert LinkFormat(inputs=4, outputs=2).readout is None and INPUT == "input"


# -------------------------------------------------------------------------------------------------------- report


def test_manifest_and_report_say_what_a_reading_is_worth(tmp_path: Path) -> None:
    """The unit turns the readings into the float network's membranes."""
    from spikeloom.compiler.ir.connectivity import Dense
    from spikeloom.compiler.ir.network import Population, Projection
    from spikeloom.compiler.ir.neurons import LI

    weights = np.random.default_rng(5).normal(size=(6, 3))
    output = Population(name="out", shape=(3,), dynamics=LI(beta=0.5, v_init=0.25, v_leak=0.25))
    network = Network(
        input_shape=(6,),
        populations=(output,),
        projections=(Projection(pre=INPUT, post="out", connectivity=Dense(weights=weights)),),
        output="out",
    )
    spikes = (np.random.default_rng(3).random((4, 7, 6)) < 0.5).astype(np.uint8)
    build = compile_network(
        network, tmp_path / "b", CompileOptions(verilog_only=True, bits=10), samples=Samples(spikes=spikes)
    )
    told = build.report()["readout"]
    assert told == build.options["readout"]
    assert told["by"] == "membrane-last" and told["readings"]["offset"] == 0.25
    assert any("nobody chose how the class is read" in warning for warning in build.report()["warnings"])
    integers = read_nir(build.network_file)
    assert str(integers.reading) == "membrane-last"
    integer = run_reference(integers, spikes).membranes
    real = run_float(read_nir(build.source_file), spikes).membranes
    assert integer is not None and real is not None
    worth = integer * told["readings"]["unit"] + told["readings"]["offset"]
    assert np.abs(worth - real).max() < 0.02
    text = readings_text(told)
    assert text.startswith("readout: membrane-last, ") and "at the end of a sample and the class" in text
    assert "plus 0.25" in text and text in html.unescape(render_html(build.report()))
