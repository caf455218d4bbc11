"""NeuroBench's metrics: counted by hand on small networks, and by what simulated hardware does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.sim import SimulatorContext
from networks import chain, random_population, random_spikes
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.convolution import Convolution
from spikeloom.compiler.ir.network import INPUT, Network, Projection
from spikeloom.compiler.ir.pooled import Pooled
from spikeloom.compiler.ir.pooling import Pooling, PoolKind
from spikeloom.compiler.plan.folding import pipelined_folding, shared_folding
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.compiler.report.neurobench import neurobench
from spikeloom.hdl.engines.engine import SparseEngine
from spikeloom.hdl.streams.tokens import TokenKind
from spikeloom.sim.amaranth_executor import CoreSimulation, run_amaranth
from spikeloom.sim.reference import run_reference
from spikeloom.sim.stimulus import make_stimulus

HIDDEN, OUT = "hidden", "out"


def synapses(pre: str, post: str, codes: list[list[int]], delay: Any = 0) -> Projection:
    connectivity = Dense(weights=Quantised(codes=np.array(codes), bits=4))
    return Projection(pre=pre, post=post, connectivity=connectivity, shift=2, delay=np.array(delay))


def network(*projections: Projection, **changes: Any) -> Network:
    """3 inputs, 2 hidden neurons, 2 outputs, of the given projections."""
    rng = np.random.default_rng(0)
    populations = tuple(random_population(rng, name, 2) for name in (HIDDEN, OUT))
    return replace(Network(input_shape=(3,), populations=populations, projections=projections, output=OUT), **changes)


TO_HIDDEN = synapses(INPUT, HIDDEN, [[1, 0], [2, 3], [0, 0]])
TO_OUT = synapses(HIDDEN, OUT, [[5, -5], [0, 1]])

INPUTS = [[[1, 0, 1], [1, 1, 0], [0, 0, 0]], [[0, 1, 0], [0, 0, 0], [0, 1, 1]]]
HIDDEN_FIRED = [[[1, 0], [0, 1], [1, 1]], [[0, 0], [1, 0], [0, 0]]]
OUT_FIRED = [[[0, 1], [0, 0], [0, 0]], [[0, 0], [0, 0], [1, 1]]]


def trains(inputs: Any = INPUTS) -> dict[str, np.ndarray]:
    """Two samples of three steps."""
    values = {INPUT: inputs, HIDDEN: HIDDEN_FIRED, OUT: OUT_FIRED}
    return {name: np.array(fired, np.uint8) for name, fired in values.items()}


def test_counted_by_hand() -> None:
    found = neurobench(network(TO_HIDDEN, TO_OUT), trains())
    assert found.connection_sparsity == 4 / 10
    assert found.activation_sparsity == 1 - (5 + 3) / 24
    # Input 0 fires twice and has one synapse, input 1 three times with two, input 2 none; the hidden ones fire 3 and 2
    # times with 2 and 1. Of two samples.
    assert found.effective_acs == ((2 * 1 + 3 * 2) + (3 * 2 + 2 * 1)) / 2
    assert found.effective_macs == 0
    assert found.dense == 3 * (6 + 4)


def test_footprint_by_hand() -> None:
    """10 weights of 4 bits; per population 2 biases, fire and sub, v_reset, of 10 bits, and one leak of 4."""
    found = neurobench(network(TO_HIDDEN, TO_OUT), trains())
    assert found.footprint_bytes == (10 * 4 + 2 * ((2 + 2 + 2 + 1) * 10 + 4)) / 8


def test_a_footprint_has_the_delays_of_synapses() -> None:
    late = synapses(HIDDEN, OUT, [[5, -5], [0, 1]], delay=[[0, 9], [1, 2]])
    plain, delayed = (neurobench(network(TO_HIDDEN, edge), trains()).footprint_bytes for edge in (TO_OUT, late))
    assert delayed - plain == 4 * 4 / 8  # up to 9 steps take 4 bits


def test_what_comes_after_the_end_counts_for_nothing() -> None:
    """The hidden layer to itself, a step later: the spikes of the last step reach nobody."""
    back = synapses(HIDDEN, HIDDEN, [[1, 1], [1, 0]], delay=1)
    found = neurobench(network(TO_HIDDEN, back, TO_OUT), trains())
    # In all steps but the last neuron 0 fires twice and has two synapses, neuron 1 once with one.
    assert found.effective_acs == (8 + 8 + (2 * 2 + 1 * 1)) / 2
    assert found.dense == 3 * (6 + 4 + 4)


def test_each_synapse_has_its_delay() -> None:
    """Neuron 0's second synapse and neuron 1's are two steps late: only spikes of a sample's first step arrive."""
    late = synapses(HIDDEN, OUT, [[5, -5], [0, 1]], delay=[[0, 2], [0, 2]])
    found = neurobench(network(TO_HIDDEN, late), trains())
    assert found.effective_acs == (8 + 3 * 1 + (1 * 1 + 0 * 1)) / 2


def test_steps_with_values_above_1_are_multiplied() -> None:
    """As NeuroBench sees one sample's layer and step: all operations of the step, those of single spikes too."""
    several = [[[1, 3, 0], [1, 1, 0], [0, 0, 0]], [[0, 1, 0], [0, 0, 0], [0, 1, 1]]]
    found = neurobench(network(TO_HIDDEN, TO_OUT, x_max=3), trains(several))
    assert found.effective_macs == (1 + 2) / 2
    assert found.effective_acs == (1 + 2 + 2 + 2 + 8) / 2


def test_inputs_with_signs_are_one_each() -> None:
    """Two channels for one: the same as NeuroBench counts for the one."""
    mirrored = synapses(INPUT, HIDDEN, [[1, 0], [2, 3], [-1, 0], [-2, -3]])
    signed = network(mirrored, TO_OUT, input_shape=(4,), x_min=-1)
    inputs = [[[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]], [[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 1, 1]]]
    found = neurobench(signed, trains(inputs))
    assert found.connection_sparsity == 2 / 8
    assert found.dense == 3 * (4 + 4)
    assert found.effective_acs == ((3 * 1 + 4 * 2) + 8) / 2


def test_kernels_count_where_they_meet_the_map() -> None:
    """A kernel of 1 x 2 on a row of 3 with a zero beyond each end, behind a maximum of pairs of a row of 6."""
    weights = Quantised(codes=np.array([[[[3, 0]]], [[[2, -1]]]]), bits=4)
    kernels = Convolution(weights=weights, pre_shape=(1, 1, 3), padding=((0, 0), (1, 1)))
    pairs = Pooling(kind=PoolKind.MAX, pre_shape=(1, 1, 6), kernel=(1, 2), stride=(1, 2))
    projection = Projection(pre=INPUT, post=OUT, connectivity=Pooled(pooling=pairs, behind=kernels), shift=2)
    population = random_population(np.random.default_rng(0), OUT, 8)
    given = Network(input_shape=(1, 1, 6), populations=(population,), projections=(projection,), output=OUT)
    inputs = np.array([[[0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1]]], np.uint8)
    found = neurobench(given, {INPUT: inputs, OUT: np.zeros((1, 2, 8), np.uint8)})
    assert found.connection_sparsity == 1 / 4
    assert found.dense == 2 * 3 * 4  # each of three inputs is under both columns of both kernels
    assert (
        found.effective_acs == 3 * 3 and found.effective_macs == 0
    )  # two pairs, then one, and 3 weights that are not 0


def test_maxima_are_taken_of_what_arrives_together() -> None:
    """A row of 4 in pairs behind delays of its neurons: a spike and a later one of a pair meet, or miss each other."""
    weights = Quantised(codes=np.array([[[[3]]], [[[-1]]]]), bits=4)
    kernels = Convolution(weights=weights, pre_shape=(1, 1, 2))
    pairs = Pooling(kind=PoolKind.MAX, pre_shape=(1, 1, 4), kernel=(1, 2), stride=(1, 2))
    projection = Projection(
        pre=INPUT, post=OUT, connectivity=Pooled(pooling=pairs, behind=kernels), delay=np.array([1, 0, 0, 2])
    )
    population = random_population(np.random.default_rng(0), OUT, 4)
    given = Network(input_shape=(1, 1, 4), populations=(population,), projections=(projection,), output=OUT)
    inputs = np.array([[[1, 0, 1, 1], [0, 1, 0, 1], [1, 0, 0, 0]]], np.uint8)
    found = neurobench(given, {INPUT: inputs, OUT: np.zeros((1, 3, 4), np.uint8)})
    # The first pair gives one spike, in step 1; the second one in step 0 and, two steps late, one in step 2.
    assert found.effective_acs == 3 * 2 and found.effective_macs == 0


# ------------------------------------------------------------------------------------------------------- hardware


@pytest.fixture
def seams(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The streams of contributions between walkers and banks, of the engines that a test elaborates."""
    found: list[Any] = []
    original = SparseEngine._walker

    def watched(self: SparseEngine) -> Any:
        walker = original(self)
        found.append(walker.o)
        return walker

    monkeypatch.setattr(SparseEngine, "_walker", watched)
    return found


class CountingSimulation(CoreSimulation):
    """A core whose additions are counted where the walkers hand them over; those of weight 0 only bridge gaps."""

    def __init__(self, *arguments: Any, seams: list[Any], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.seams = seams
        self.additions = 0

    async def _stall(self, context: SimulatorContext, stress: int | None) -> None:
        context.set(self.core.o.ready, 1)
        async for _, _, *added in context.tick().sample(*map(_adds, self.seams)):
            self.additions += sum(added)


def _adds(seam: Any) -> Any:
    """Whether an entry passes that is a synapse."""
    return seam.valid & seam.ready & (seam.payload.kind == TokenKind.EVENT) & (seam.payload.weight != 0)


def late(*further: Projection) -> Network:
    """Delays from synapse to synapse, and what else there is."""
    return network(
        synapses(INPUT, HIDDEN, [[7, 0], [7, 7], [0, 7]]),
        synapses(HIDDEN, OUT, [[5, -5], [0, 7]], delay=[[2, 2], [3, 1]]),
        *further,
    )


BACK = synapses(HIDDEN, HIDDEN, [[1, 0], [-2, 3]], delay=1)


@pytest.mark.parametrize(
    ("given", "fold"),
    [
        (chain(3, (12, 9, 4)), shared_folding),
        (chain(4, (12, 9, 4)), pipelined_folding),
        (late(), shared_folding),
        (late(BACK), shared_folding),
    ],
    ids=["shared", "pipelined", "delays", "recurrent"],
)
def test_hardware_counts_the_same(given: Network, fold: Any, seams: list[Any]) -> None:
    """Spikes at the monitors, and additions of weights between walkers and banks, are those of the reference.

    What returns to its own population in a sample's last step is still walked, and dropped by the bank.
    """
    spikes = random_spikes(5, given, samples=3, steps=8, rate=0.5)
    recording = run_reference(given, spikes)
    expected = neurobench(given, recording.trains(spikes))
    assert 0 < expected.effective_acs < expected.dense and 0 < expected.activation_sparsity < 1

    plan = make_plan(given, "ice40", fold(given))
    assert neurobench(given, run_amaranth(plan, spikes).trains(spikes)) == expected

    seams.clear()
    counting = CountingSimulation(plan, spikes.shape[:2], traced=False, progress=None, seams=seams)
    counting.run(make_stimulus(spikes, beats=plan.beats), None)
    dropped = [
        int((recording.populations[p.pre].spikes[:, -1] @ p.connectivity.fan_out()).sum())
        for p in given.projections
        if p.pre == p.post
    ]
    assert counting.additions == round(expected.effective_acs * len(spikes)) + sum(dropped)
    assert not dropped or sum(dropped) > 0
