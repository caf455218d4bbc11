"""Convolution and pooling in plain Python integers, as the contract says them, cell by cell."""

from __future__ import annotations

from typing import Any

Data = dict[str, Any]

Map = list[list[list[int]]]
"""[channel][row][column]."""


def of_map(projection: Data, values: list[int], shape: list[int]) -> list[int]:
    """The sums of a projection that pools or convolves the values of its pre neurons, numbered row-major."""
    channels, rows, columns = shape
    whole = [
        [[values[(c * rows + y) * columns + x] for x in range(columns)] for y in range(rows)] for c in range(channels)
    ]
    if projection.get("pool") is not None:
        whole = pooled(whole, projection["pool"])
    if "kernel" not in projection:
        inputs = _flat(whole)
        return [
            sum(row[post] * x for row, x in zip(projection["weights"], inputs, strict=True))
            for post in range(len(projection["weights"][0]))
        ]
    sums = _convolved(whole, projection)
    return _flat(pooled(sums, projection["pool_after"]) if projection.get("pool_after") is not None else sums)


def pooled(maps: Map, pool: Data) -> Map:
    """The sum or the maximum of each window; what is beyond the map is not there."""
    (down, across), (stride_y, stride_x) = pool["kernel"], pool["stride"]
    (above, below), (left, right) = _sides(pool["padding"])
    take = {"sum": sum, "max": max}[pool["kind"]]
    rows, columns = len(maps[0]), len(maps[0][0])
    return [
        [
            [
                take(
                    channel[y][x]
                    for y in range(oy * stride_y - above, oy * stride_y - above + down)
                    for x in range(ox * stride_x - left, ox * stride_x - left + across)
                    if 0 <= y < rows and 0 <= x < columns
                )
                for ox in range((columns + left + right - across) // stride_x + 1)
            ]
            for oy in range((rows + above + below - down) // stride_y + 1)
        ]
        for channel in maps
    ]


def _convolved(maps: Map, projection: Data) -> Map:
    kernels, groups = projection["kernel"], projection["groups"]
    (stride_y, stride_x), (step_y, step_x) = projection["stride"], projection["dilation"]
    (above, below), (left, right) = _sides(projection["padding"])
    rows, columns = len(maps[0]), len(maps[0][0])
    down, across = ((len(k) - 1) * s + 1 for k, s in ((kernels[0][0], step_y), (kernels[0][0][0], step_x)))
    result = []
    for number, kernel in enumerate(kernels):
        first = number // (len(kernels) // groups) * len(kernel)

        def at(oy: int, ox: int, kernel: Map = kernel, first: int = first) -> int:
            total = 0
            for c, plane in enumerate(kernel):
                for i, row in enumerate(plane):
                    for j, weight in enumerate(row):
                        y, x = oy * stride_y + i * step_y - above, ox * stride_x + j * step_x - left
                        if 0 <= y < rows and 0 <= x < columns:
                            total += weight * maps[first + c][y][x]
            return total

        result.append(
            [
                [at(oy, ox) for ox in range((columns + left + right - across) // stride_x + 1)]
                for oy in range((rows + above + below - down) // stride_y + 1)
            ]
        )
    return result


def _sides(padding: Any) -> Any:
    """(above, below), (left, right) of a padding, which may be one number for both sides."""
    return tuple((p, p) if isinstance(p, int) else tuple(p) for p in padding)


def _flat(maps: Map) -> list[int]:
    return [value for channel in maps for row in channel for value in row]
