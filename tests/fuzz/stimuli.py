"""Random stimuli: what is sent, when, and when the output is heard."""

from __future__ import annotations

from hypothesis import strategies as st

from .oracle import Data


@st.composite
def stimuli(draw: st.DrawFn, network: Data, *, uniform: bool = False) -> Data:
    """Samples back to back, some aborted, on a core that a reset may have stopped in the middle of another.

    `runs` and `before` are samples, of which an aborted one loses its last step; `pauses` and `stalls` are the shares
    of tokens before which the input waits and of cycles in which the output does. With `uniform` none is aborted and
    all are equally long.
    """
    inputs, x_max = network["input"]["size"], network["input"]["x_max"]
    length = draw(st.integers(1, 5))
    lengths = st.just(length) if uniform else st.integers(1, 5)
    aborted = st.just(False) if uniform else st.sampled_from((False, False, True))
    run = st.builds(
        lambda steps, ends: {"steps": steps, "aborted": ends},
        lengths.flatmap(lambda count: st.lists(_step(inputs, x_max), min_size=count, max_size=count)),
        aborted,
    )
    return {
        "inputs": inputs,
        "before": draw(st.just([]) | st.lists(run, min_size=1, max_size=1)),
        "wait": draw(st.integers(0, 30)),
        "runs": draw(st.lists(run, min_size=1, max_size=3)),
        "pauses": draw(st.sampled_from((0, 0, 0.2, 0.5))),
        "stalls": draw(st.sampled_from((0, 0, 0.2, 0.6))),
        "seed": draw(st.integers(0, 1000)),
    }


def _step(inputs: int, x_max: int) -> st.SearchStrategy[list[int]]:
    """Nothing, everything, or something; a large x_max is reached by one input at a time, to be done soon."""
    few = min(x_max, 3)
    burst = st.integers(0, inputs - 1).map(lambda place: [x_max if n == place else 0 for n in range(inputs)])
    return (
        st.lists(st.integers(0, few), min_size=inputs, max_size=inputs)
        | st.just([0] * inputs)
        | st.just([few] * inputs)
        | burst
    )
