"""A core, cycle by cycle, in plain Python: its row walkers, neuron banks, forks and merges without their arithmetic.

The spikes are known beforehand, so all that is left are the handshakes and the counters. Each part holds the registers
of its component in `spikeloom.hdl` under the same names and gives the same cycle counts as Amaranth's simulator, some
hundred times faster. In this hardware `ready` never waits for `valid`, so a cycle is: every engine shows what its
registers say, the streams between them follow, every engine takes its step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest

from ...hdl.core import CORE_INPUT, Delayed
from ...hdl.errors import ModelError
from ..ir.arrays import SpikeArray
from ..plan.kinds import PerKind
from ..plan.plan import Plan
from .circuit import Circuit
from .delays import delay_block
from .engine_cycles import EngineCycles
from .lane import lanes_cycles, run_queue
from .limits import silent_cycles
from .slotted import slotted_cycles
from .sparse import sparse_cycles
from .tokens import Token
from .vector import vector_cycles
from .wide import wide_cycles

CYCLES: PerKind[Callable[..., EngineCycles]] = PerKind(
    sparse=sparse_cycles, lanes=lanes_cycles, vector=vector_cycles, wide=wide_cycles, slotted=slotted_cycles
)
"""The cycles of each kind of engine, from (network, folding, format, contents)."""


def engine_cycles(plan: Plan) -> tuple[EngineCycles, ...]:
    """The cycles of every engine."""
    return tuple(
        CYCLES.of(folding)(plan.network, folding, instance.form, instance.contents)
        for folding, instance in zip(plan.folding.engines, plan.engines, strict=True)
    )


def engine_models(plan: Plan) -> tuple[EngineCycles, ...]:
    """The same; ModelError where one has no model, as it says itself."""
    models = engine_cycles(plan)
    for model in models:
        if model.no_model is not None:
            raise ModelError(model.no_model)
    return models


def has_model(plan: Plan) -> bool:
    """Whether the cycles of a plan's engines depend on spikes alone."""
    return all(model.no_model is None for model in engine_cycles(plan))


def count_core_cycles(
    plan: Plan, models: Sequence[EngineCycles], tokens: Iterable[Token], spikes: Sequence[SpikeArray]
) -> int:
    """Cycles from the first of `tokens` in to the END_OF_SAMPLE out, of a core after reset that nothing stalls.

    `models` are those of the plan's engines, `spikes` [steps, neurons] those of each engine's neurons, all of its
    populations concatenated. Where the core's input is wide a token that is an event is a beat. Raises MismatchError
    where the core hangs.
    """
    circuit = Circuit()
    heard = [source for instance in plan.engines for source in instance.heard]
    entry = circuit.stream()
    sizes = {CORE_INPUT: plan.network.input_size}
    ports = {(CORE_INPUT, False): circuit.fork(entry, heard.count((CORE_INPUT, False)))}
    exit_ = -1
    late: list[tuple[Delayed, int]] = []
    for number, (instance, model, trains) in enumerate(zip(plan.engines, models, spikes, strict=True)):
        now = [(ports[source, False].pop(), sizes[source]) for source in instance.sources]
        now = [
            (inlet if queue is None else circuit.block(run_queue(queue.depth), inlet), size)
            for (inlet, size), queue in zip_longest(now, instance.queues)
        ]
        if not now:
            now = [(circuit.ends(ports[CORE_INPUT, False].pop()), 0)]
        due = [circuit.stream() for _ in instance.delays]
        late += zip(instance.delays, due, strict=True)
        rows = [delayed.form.rows for delayed in instance.delays]
        inlet = circuit.merge([*(inlet for inlet, _ in now), *due], [*(size for _, size in now), *rows])
        outlet = model.block(circuit, trains, inlet)
        sizes[number] = instance.form.outputs
        if instance.form.inner:
            ports[number, True] = circuit.fork(circuit.asides[outlet][1], heard.count((number, True)))
        ports[number, False] = circuit.fork(outlet, max(1, heard.count((number, False)) + (number == plan.output)))
        if number == plan.output:
            exit_ = ports[number, False].pop()
    for delayed, sink in late:
        circuit.closed(delay_block(delayed), ports[delayed.source, delayed.inner].pop(), sink)
    return circuit.run(entry, exit_, tokens, silent_cycles(plan.network))
