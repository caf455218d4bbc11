"""Random integer networks: every neuron and every graph that the IR has, or that the hardware has.

A new kind of neuron is an entry more in `NEURONS`; a new field of all of them a line in `populations`.
"""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from .layers import Shape, convolutions, input_maps, maps, poolings
from .oracle import Data

NEURONS: dict[str, tuple[str, ...]] = {
    "IF": (),
    "LIF": ("decay",),
    "LI": ("decay",),
    "CubaLIF": ("decay", "decay_syn"),
    "CubaLI": ("decay", "decay_syn"),
}
"""The leaks of every kind of neuron."""

READOUTS = ("LI", "CubaLI")
"""Those that never fire."""

RESETS = (
    ("same", "subtract"),
    ("same", "value"),
    ("next", "subtract"),
    ("next", "value"),
    ("snntorch_same", "subtract"),
)
"""Every (place, mode)."""

MAX_SIZE = 8


@st.composite
def networks(draw: st.DrawFn, *, hardware: bool = True) -> Data:
    """A network; of the whole IR, with the largest counts, where it is not for the `hardware`."""
    mapped = draw(st.booleans())
    names = [f"p{number}" for number in range(draw(st.integers(1, 3)))]
    shape_of = {"input": draw(input_maps()) if mapped else [draw(st.integers(1, MAX_SIZE))]}
    x_max = draw(st.sampled_from((1, 1, 1, 2, 5, 20 if hardware else 255)))
    bits = draw(st.integers(2, 16) | st.integers(2, 5))
    loops = not hardware or draw(st.booleans())
    joined, backwards = [], []
    for pre, post in draw(edges(names, recurrent=loops)):
        if pre not in shape_of:
            backwards.append((pre, post))
            continue
        joined.append(draw(projections(pre, post, shape_of, bits, delayed=loops)))
    joined += [draw(projections(pre, post, shape_of, bits, delayed=loops)) for pre, post in backwards]
    drawn = [draw(populations(name, shape_of[name], hardware)) for name in names]
    output = draw(st.sampled_from(names)) if draw(st.integers(0, 5)) == 0 else names[-1]
    return {
        "name": "fuzz",
        "input": {"size": math.prod(shape_of["input"]), "shape": shape_of["input"], "x_max": x_max},
        "populations": drawn,
        "projections": joined,
        "output": output,
        "readout": draw(readouts(drawn[names.index(output)])) if hardware else None,
    }


@st.composite
def readouts(draw: st.DrawFn, output: Data) -> str | None:
    """How the output is read: by membranes where it never fires, or sometimes where it is made to reset nothing."""
    if output["dynamics"] not in READOUTS:
        if output["reset_mode"] != "subtract" or (output["max_spikes"] or 1) > 1 or draw(st.integers(0, 3)):
            return None
        output["sub"] = 0
    return draw(st.sampled_from(("membrane-last", "membrane-max", "membrane-sum", "membranes")))


@st.composite
def edges(draw: st.DrawFn, names: list[str], *, recurrent: bool) -> list[tuple[str, str]]:
    """(pre, post): a chain, or any edges forwards, with skips and parallel ones; `recurrent` ones may go anywhere."""
    order = ["input", *names]
    joined = []
    for number, post in enumerate(names):
        joined.append((order[number] if draw(st.integers(0, 3)) else draw(st.sampled_from(order[: number + 1])), post))
        if draw(st.integers(0, 2)) == 0:
            joined.append((draw(st.sampled_from(order if recurrent else order[: number + 1])), post))
    return joined


@st.composite
def populations(draw: st.DrawFn, name: str, shape: Shape, hardware: bool) -> Data:
    """Neurons of one kind with thresholds anywhere, at the edges of the state and below 0 too."""
    size = math.prod(shape)
    kind = draw(st.sampled_from(("LIF", "LIF", "IF", *NEURONS)))
    bits = draw(st.sampled_from((2, 3, 4, 5, 6, 8, 8, 10, 12, 16, 24, 32)))
    place, mode = draw(st.sampled_from(RESETS))
    fires = kind not in READOUTS
    several = draw(st.sampled_from((None, None, 1, 2, 3, 15, 15 if hardware else 255))) if fires else None
    if several is not None and several > 1:
        place, mode = "same", "subtract"
    adapts = kind == "LIF" and place != "snntorch_same" and several in (None, 1)
    limit = 1 << (bits - 1)
    state = st.integers(-limit, limit - 1)
    edge = st.sampled_from(sorted({-limit, -1, 0, limit - 1}))
    low = st.integers(max(-limit, -4), min(limit - 1, 40))
    fire = draw(_parameter(size, low | edge | state))
    subs = st.integers(max(-limit, -4), min(limit - 1, 45)) | edge | state
    leaks = {leak: draw(_decays(size)) if leak in NEURONS[kind] else None for leak in ("decay", "decay_syn")}
    return {
        "name": name,
        "size": size,
        "shape": shape,
        "dynamics": kind,
        "fire": fire,
        "sub": fire if draw(st.booleans()) else draw(_parameter(size, subs)),
        "v_reset": draw(_parameter(size, low | state)) if mode == "value" else 0,
        "v_min": draw(st.none() | _parameter(size, st.integers(max(-limit, -40), 0))) if fires else None,
        "max_spikes": several,
        "adapt": draw(st.none() | _adaptations(size, low | state)) if adapts else None,
        **leaks,
        "drive": draw(st.sampled_from(("new", "old"))) if "decay_syn" in NEURONS[kind] else "new",
        "reset_mode": mode,
        "reset": place,
        "state_bits": bits,
        "bias": draw(st.just(0) | _parameter(size, st.integers(max(-limit, -3), min(limit - 1, 3)) | state)),
    }


@st.composite
def projections(draw: st.DrawFn, pre: str, post: str, shape_of: dict[str, Shape], bits: int, *, delayed: bool) -> Data:
    """Weights that are sparse, dense or all zero, of few values or many; of maps pooled and convolved, too.

    The first projection into a population says what shape it has.
    """
    limit = (1 << (bits - 1)) - 1
    weight = draw(
        st.sampled_from(
            (
                st.integers(-limit, limit),
                st.just(0) | st.integers(-limit, limit),
                st.sampled_from((0, 0, 0, 1, -1)),
                st.sampled_from((-limit, limit)),
                st.just(0) | st.integers(0, min(limit, 7)),
            )
        )
    )
    form: Data = {}
    shape = shape_of[pre]
    if len(shape) == 3 and draw(st.booleans()):
        form["pool"], shape = draw(poolings(shape))
    if len(shape) == 3 and post not in shape_of and draw(st.integers(0, 2)):
        kernel, shape_of[post] = draw(convolutions(shape, weight))
        form |= kernel
    else:
        if post not in shape_of:
            shape_of[post] = (
                draw(maps()) if len(shape) == 3 and draw(st.booleans()) else [draw(st.integers(1, MAX_SIZE))]
            )
        form["weights"] = draw(_matrix(math.prod(shape), math.prod(shape_of[post]), weight))
    least = int(delayed and (pre != "input" and pre >= post))
    rows, columns = math.prod(shape_of[pre]), math.prod(shape_of[post])
    delays = _delays(rows, columns, least) if list(form) == ["weights"] else _axonal(rows, least)
    return {
        "pre": pre,
        "post": post,
        **form,
        "bits": bits,
        "delay": draw(delays) if delayed else 0,
        "shift": draw(st.sampled_from((0, 0, 1, 2, 5))),
    }


def _decays(size: int) -> st.SearchStrategy[Data]:
    """Leaks from none to all at once, of one coefficient or one for each neuron."""
    return st.sampled_from((0, 1, 3, 4, 8, 16)).flatmap(
        lambda k: st.fixed_dictionaries(
            {
                "c": _parameter(size, st.integers(0, min(1 << k, 20)) | st.integers(0, 1 << k)),
                "k": st.just(k),
                "rounding": st.sampled_from(("nearest", "floor", "toward_zero")),
            }
        )
    )


def _adaptations(size: int, jump: st.SearchStrategy[int]) -> st.SearchStrategy[Data]:
    """A leak of the adaptation, and how far a spike raises (or lowers) the threshold."""
    return st.builds(lambda leak, jump: leak | {"jump": jump}, _decays(size), _parameter(size, jump))


def _delays(rows: int, columns: int, least: int) -> st.SearchStrategy[Any]:
    """One for all synapses, most often of a step, one for each, or one for each pre neuron."""
    axonal = _axonal(rows, least)
    of_synapses = _matrix(rows, columns, st.integers(least, 3))
    return axonal.map(lambda d: [[steps] * columns for steps in d] if isinstance(d, list) else d) | of_synapses


def _axonal(rows: int, least: int) -> st.SearchStrategy[Any]:
    return st.just(least) | st.integers(least, 3) | st.lists(st.integers(least, 9), min_size=rows, max_size=rows)


def _matrix(rows: int, columns: int, element: st.SearchStrategy[int]) -> st.SearchStrategy[list[list[int]]]:
    row = st.lists(element, min_size=columns, max_size=columns)
    return st.lists(row, min_size=rows, max_size=rows)


def _parameter(size: int, value: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    """One value for all neurons, or one for each."""
    return value | st.lists(value, min_size=size, max_size=size)
