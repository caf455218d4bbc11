"""Memories that are laid out for other weights than their own: what they hold, what synthesis sees in their place, and
which networks can take the place of one.

Synthesis simplifies memories by what they hold, and whoever looks for one in a finished design finds it by that. So
where contents are to be exchanged it gets random words, of which no two block RAMs have the same and no bit is constant
or like another, and the true ones are put in their place afterwards.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from ...hdl.errors import CapacityError, ModelError, quoted
from ...hdl.memories.memory import MemoryShape
from ..ir.network import Network, Population
from ..ir.neurons import IntegerDynamics
from ..ir.verifier import MAX_STATE_BITS
from ..lowering.constants import with_state_bits
from ..neurons.reachable import adaptation_saturates, current_saturates, saturates
from .plan import Plan, make_plan

AGAIN = "compile this network on its own"

MemoryName = tuple[int, str]
"""A memory of a core: the number of its engine, and its role there."""


@dataclass(frozen=True)
class Stored:
    """A memory whose contents can be exchanged, and its words."""

    shape: MemoryShape
    words: tuple[int, ...]


def stored_memories(plan: Plan) -> dict[MemoryName, Stored]:
    """What a plan's memories hold that can be exchanged in a finished bitstream: none without headroom."""
    return {
        (number, role): Stored(shape, words)
        for number, engine in enumerate(plan.engines)
        for role, words in engine.form.stored(engine.contents).items()
        if (shape := engine.form.memories(plan.family)[role]).exchangeable
    }


def filled(plan: Plan) -> Plan:
    """The plan as it is synthesised: with random words where contents can be exchanged."""
    fill = {name: random_words(stored.shape, f"{name}") for name, stored in stored_memories(plan).items()}
    return replace(
        plan,
        engines=tuple(
            replace(engine, contents=engine.form.with_stored(engine.contents, _of_engine(fill, number)))
            for number, engine in enumerate(plan.engines)
        ),
    )


def random_words(shape: MemoryShape, seed: str) -> tuple[int, ...]:
    """Words for all of a memory, the same for a seed, in which all bits of a block differ from each other."""
    generator = random.Random(seed)
    while True:
        words = tuple(generator.getrandbits(shape.width) for _ in range(shape.depth))
        if all(_has_own_bits(block.contents(words), block.high - block.low) for block in shape.blocks):
            return words


def layout_number(plan: Plan) -> str:
    """A hash of everything in a plan's core that cannot be exchanged, in hexadecimal."""
    return hashlib.sha256(fixed_parts(plan).encode()).hexdigest()


def fixed_parts(plan: Plan) -> str:
    """Everything in a plan's core that is not in SPRAM, nor exchanged where that is possible, as text."""
    return _text(list(_fixed(plan)))


def with_spare_bits(network: Network, bits: int) -> Network:
    """The integer network with so many more bits for membranes that never saturate: it does the same."""
    populations = (
        with_state_bits(p, min(_integer(p).state_bits + bits, MAX_STATE_BITS)) if not _ever_saturates(network, p) else p
        for p in network.populations
    )
    return replace(network, populations=tuple(populations))


def exchange(laid: Plan, network: Network) -> Plan:
    """The plan of another integer network whose words take the place of those of `laid`.

    Membranes that never saturate have the width that was built. Raises ModelError for another shape or topology, and
    CapacityError for what was laid out too small, or is logic and another.
    """
    require_same_shape(laid.network, network)
    network = _as_wide(laid.network, network)
    plan = make_plan(network, laid.family, laid.folding, laid=laid)
    for number, (was, now) in enumerate(zip(_fixed(laid), _fixed(plan), strict=True)):
        if _text(was) != _text(now):
            first = laid.folding.engines[number].first
            raise CapacityError(
                f"other weights take the place of those that were laid out: the engine of {quoted(first)} would hear "
                f"its inputs in another way than it was built; {AGAIN}"
            )
    return plan


def require_same_shape(built: Network, network: Network) -> None:
    """ModelError where a network's populations and projections are not those that were built."""
    rule = "weights are exchanged between networks of one shape"
    was_named, now_named = ({p.name: p.shape for p in n.populations} for n in (built, network))
    if list(was_named) != list(now_named):
        raise ModelError(f"{rule}: populations were {list(was_named)} and are {list(now_named)}; {AGAIN}")
    for name, shape in now_named.items():
        if shape != was_named[name]:
            raise ModelError(
                f"{rule}: population {quoted(name)} was {list(was_named[name])} and is {list(shape)}; {AGAIN}"
            )
    for what in ("input_shape", "x_max", "output", "reading"):
        was, now = getattr(built, what), getattr(network, what)
        if was != now:
            raise ModelError(f"{rule}: {what.replace('_', ' ')} was {was} and is {now}; {AGAIN}")
    was_joined, now_joined = ([(p.pre, p.post, p.step_edge) for p in n.projections] for n in (built, network))
    if was_joined != now_joined:
        raise ModelError(f"{rule}: projections were {was_joined} and are {now_joined}; {AGAIN}")
    for old, new in zip(built.projections, network.projections, strict=True):
        if type(old.connectivity) is not type(new.connectivity) or old.connectivity.shape != new.connectivity.shape:
            raise ModelError(f"{rule}: that from {quoted(new.pre)} to {quoted(new.post)} is another; {AGAIN}")


def _as_wide(built: Network, network: Network) -> Network:
    """With membranes as wide as they were built, where neither width makes a difference."""
    populations = []
    for population in network.populations:
        wide = with_state_bits(population, _integer(built.population(population.name)).state_bits)
        either = (population, wide)
        same = not any(_ever_saturates(replace(network, populations=_with(network, p)), p) for p in either)
        populations.append(wide if same else population)
    return replace(network, populations=tuple(populations))


def _with(network: Network, changed: Population) -> tuple[Population, ...]:
    return tuple(changed if p.name == changed.name else p for p in network.populations)


def _ever_saturates(network: Network, population: Population) -> bool:
    tests = (saturates, current_saturates, adaptation_saturates)
    return any(test(network, population) for test in tests)


def _integer(population: Population) -> IntegerDynamics:
    assert isinstance(population.dynamics, IntegerDynamics)
    return population.dynamics


def _of_engine(words: Mapping[MemoryName, tuple[int, ...]], number: int) -> dict[str, tuple[int, ...]]:
    return {role: held for (engine, role), held in words.items() if engine == number}


def _has_own_bits(words: list[int], width: int) -> bool:
    """Whether no bit is constant, like another or its inverse."""
    bits = np.array([[word >> bit & 1 for word in words] for bit in range(width)], np.uint8)
    columns = {column.tobytes() for column in (bits ^ bits[:, :1])}  # of a bit and its inverse the same
    return len(columns) == width and bool(np.all(bits.any(axis=1) & ~bits.all(axis=1)))


def _fixed(plan: Plan) -> Iterator[Any]:
    """Of each engine what is not exchanged."""
    for engine in plan.engines:
        contents = engine.form.outside_spram(engine.contents)
        if plan.headroom is not None:
            contents = engine.form.with_stored(contents, dict.fromkeys(engine.form.stored(contents), ()))
        yield (engine.sources, engine.form, contents, *engine.delays, *engine.queues)


def _text(value: Any) -> str:
    """The repr of a value of dataclasses and collections, with sets in order, which differs between processes."""
    if is_dataclass(value):
        return (
            f"{type(value).__name__}({', '.join(f'{f.name}={_text(getattr(value, f.name))}' for f in fields(value))})"
        )
    if isinstance(value, frozenset):
        return f"frozenset({{{', '.join(sorted(map(_text, value)))}}})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))}{',' * (len(value) == 1)})"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return repr(value)
