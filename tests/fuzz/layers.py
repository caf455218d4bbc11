"""Random poolings and convolutions of small maps, as the data of a projection."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from .maps import Data

Shape = list[int]
"""Channels, rows, columns."""


def maps() -> st.SearchStrategy[Shape]:
    """The shape of a small map, of one row sometimes."""
    return st.tuples(st.integers(1, 3), st.sampled_from((1, 2, 3, 4)), st.integers(1, 4)).map(list)


@st.composite
def input_maps(draw: st.DrawFn) -> Shape:
    """The same, or one so long that the taps along it have tables with steps on ECP5."""
    if draw(st.integers(0, 5)):
        return draw(maps())
    length, place = draw(st.integers(18, 36)), draw(st.integers(0, 1))
    return [draw(st.integers(1, 2)), *((1, length) if place else (length, 1))]


@st.composite
def poolings(draw: st.DrawFn, shape: Shape) -> tuple[Data, Shape]:
    """A pooling of a map, and the map of what it gives."""
    kernel = [draw(st.integers(1, min(3, length))) for length in shape[1:]]
    stride = [draw(st.integers(1, 3)) for _ in kernel]
    padding = [[draw(st.integers(0, (size - 1))), draw(st.integers(0, size - 1))] for size in kernel]
    for length, size, step, around in zip(shape[1:], kernel, stride, padding, strict=True):
        if (length + sum(around) - size) // step * step >= length + around[0]:
            around[1] = 0  # the last window would be beyond the map
    kind = draw(st.sampled_from(("sum", "max")))
    after = [shape[0], *_windows(shape[1:], kernel, stride, padding, [1, 1])]
    return {"kind": kind, "kernel": kernel, "stride": stride, "padding": padding}, after


@st.composite
def convolutions(draw: st.DrawFn, shape: Shape, weight: st.SearchStrategy[int]) -> tuple[Data, Shape]:
    """The kernel of a convolution of a map and how it moves, and the map of its neurons."""
    groups = draw(st.sampled_from([g for g in range(1, shape[0] + 1) if shape[0] % g == 0]))
    posts = groups * draw(st.integers(1, 2))
    dilation = [draw(st.sampled_from((1, 1, 2))) for _ in range(2)]
    padding = [[draw(st.integers(0, 2)), draw(st.integers(0, 2))] for _ in range(2)]
    room = [length + sum(around) for length, around in zip(shape[1:], padding, strict=True)]
    kernel = [draw(st.integers(1, min(3, (space - 1) // step + 1))) for space, step in zip(room, dilation, strict=True)]
    stride = [draw(st.sampled_from((1, 1, 2, 3))) for _ in range(2)]
    drawn: Any = st.lists
    for size in (kernel[1], kernel[0], shape[0] // groups, posts):
        weight = drawn(weight, min_size=size, max_size=size)
    after = [posts, *_windows(shape[1:], kernel, stride, padding, dilation)]
    found = {
        "kernel": draw(weight),
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
    }
    if draw(st.integers(0, 2)) == 0:
        found["pool_after"], after = draw(poolings(after))
    return found, after


def _windows(
    lengths: list[int], sizes: list[int], strides: list[int], paddings: list[list[int]], dilations: list[int]
) -> list[int]:
    return [
        (length + sum(around) - (size - 1) * apart - 1) // step + 1
        for length, size, step, around, apart in zip(lengths, sizes, strides, paddings, dilations, strict=True)
    ]
