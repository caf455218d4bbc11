"""Random integer networks: matrices of 100 to 300,000 synapses, and maps with kernels and pools."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
from spikeloom.compiler.ir.connectivity import Connectivity, Dense
from spikeloom.compiler.ir.convolution import Convolution
from spikeloom.compiler.ir.maps import MapShape, size_of
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import IF, LIF, ResetMode, ResetPlace
from spikeloom.compiler.ir.pooled import Pooled
from spikeloom.compiler.ir.pooling import Pooling, PoolKind
from spikeloom.compiler.lowering.quantise import quantise

LEAST_SYNAPSES = 100

MOST_CELLS = 2_000_000
"""Weights of a layer, zeros among them."""

GOLDEN = (math.sqrt(5) - 1) / 2
"""Multiples of it, without their whole part, lie evenly between 0 and 1 however many there are."""


def random_matrices(rng: np.random.Generator, kind: str, *, most: int, number: int, x_max: int = 1) -> Network:
    """One to three populations behind matrices, mostly with alike neurons; the `number` says how large: up to about
    `most` synapses."""
    depth = int(rng.choice([2, 3] if kind in ("split", "slotted") else [1, 2, 2, 3]))
    if kind in ("vector", "bitmap", "encoder"):
        sizes, density = _small_sizes(rng, kind, depth), None
    else:
        sizes, density = _sizes(rng, depth, LEAST_SYNAPSES * (most / LEAST_SYNAPSES) ** (number * GOLDEN % 1))
    bits = int(rng.choice([2, 3, 4, 4] if kind == "vector" else [2, 3, 4, 4, 4, 5, 6, 8]))
    layers: list[Connectivity] = []
    for inputs, size in pairwise(sizes):
        weights = rng.normal(0, 1 / np.sqrt(inputs), (inputs, size))
        weights[rng.random(weights.shape) >= (density or _density(rng, kind, inputs * size))] = 0
        layers.append(Dense(weights=weights))
    return quantise(_network(rng, (sizes[0],), layers, x_max), bits)


def _small_sizes(rng: np.random.Generator, kind: str, depth: int) -> list[int]:
    most = 5.0 if kind == "vector" else 6.0
    sizes = [int(2 ** rng.uniform(4, 7.5)), *(int(2 ** rng.uniform(3.5, most)) for _ in range(depth - 1))]
    return [*sizes, int(rng.integers(16, 65)) if kind == "bitmap" else int(rng.integers(2, 21))]


def _density(rng: np.random.Generator, kind: str, cells: int) -> float:
    """Sparse mostly, and never so dense that no device holds it; bitmaps are for every second or third synapse."""
    if kind == "bitmap":
        return float(rng.uniform(0.35, 0.6))
    return float(min(rng.choice([0.03, 0.05, 0.1, 0.2, 0.4, 1.0]), 6000 / cells))


def _sizes(rng: np.random.Generator, depth: int, synapses: float) -> tuple[list[int], float]:
    """How many neurons there are from the input to the output, and the density that gives so many synapses, most of
    them in the first layers."""
    density = max(float(rng.choice([0.02, 0.03, 0.05, 0.1, 0.2, 0.4])), synapses / MOST_CELLS)
    hidden = max(1, depth - 1)
    cells = synapses / density / hidden
    last = int(rng.integers(2, 21))
    ratio = float(rng.uniform(1, 6))
    inner = max(8, round(math.sqrt(cells / ratio)))
    sizes = [max(8, round(cells / (inner if depth > 1 else last))), *[inner] * hidden]
    return ([*sizes, last] if depth > 1 else [min(sizes[0], 4096), last]), density


def random_maps(rng: np.random.Generator, kind: str) -> Network:
    """A convolution of a small map, mostly with one more behind it, and a matrix; of the kind `pools` with maxima of
    spikes or of sums, of the others with sums of spikes now and then."""
    pre: MapShape = (int(rng.integers(1, 4)), int(rng.integers(6, 15)), int(rng.integers(6, 15)))
    first = pre
    layers: list[Connectivity] = []
    for number in range(int(rng.choice([1, 2]))):
        posts = int(rng.choice([4, 8, 12, 16, 24]))
        layers.append(_convolved(rng, pre, posts, kind, number))
        pre = layers[-1].post_map or pre
        if min(pre[1:]) < 3:
            break
    if kind != "wide" or rng.random() < 0.7:
        weights = rng.normal(0, 1 / np.sqrt(size_of(pre)), (size_of(pre), int(rng.integers(2, 21))))
        weights[rng.random(weights.shape) >= min(1.0, 4000 / weights.size)] = 0
        layers.append(Dense(weights=weights))
    return quantise(_network(rng, first, layers, 1), int(rng.choice([3, 4, 4, 6, 8])))


def _convolved(rng: np.random.Generator, pre: MapShape, posts: int, kind: str, number: int) -> Connectivity:
    """Kernels of 3 x 3 or 5 x 5 over a map, or over what is pooled of it."""
    pools = kind == "pools" and number == 0
    before = pools and rng.random() < 0.5
    pooling = None
    if (before or (kind != "pools" and rng.random() < 0.3)) and min(pre[1:]) >= 6:
        pooling = Pooling(kind=PoolKind.MAX if before else PoolKind.SUM, pre_shape=pre, kernel=(2, 2), stride=(2, 2))
        pre = pooling.post_shape
    size = 5 if min(pre[1:]) >= 7 and rng.random() < 0.4 else 3
    around = int(rng.integers(0, 2))
    step = 2 if min(pre[1:]) > 8 and rng.random() < 0.3 else 1
    weights = rng.normal(0, 1 / np.sqrt(pre[0] * size * size), (posts, pre[0], size, size))
    weights[rng.random(weights.shape) >= float(rng.choice([0.2, 0.5, 1.0]))] = 0
    convolution = Convolution(
        weights=weights, pre_shape=pre, stride=(step, step), padding=((around, around), (around, around))
    )
    if pools and not before:
        after = Pooling(kind=PoolKind.MAX, pre_shape=convolution.sum_shape, kernel=(2, 2), stride=(2, 2))
        convolution = replace(convolution, pool_after=after)
    return convolution if pooling is None else Pooled(pooling=pooling, behind=convolution)


def _network(rng: np.random.Generator, input_shape: tuple[int, ...], layers: list[Connectivity], x_max: int) -> Network:
    """A chain; neurons of a population are alike, and mostly those of all."""
    shape = (ResetMode(rng.choice(["subtract", "subtract", "value"])), ResetPlace(rng.choice(["same", "next", "next"])))
    same, has_bias = rng.random() < 0.7, rng.random() < 0.25
    dynamics = _dynamics(rng, *shape)
    populations, projections = [], []
    pre = INPUT
    for number, connectivity in enumerate(layers):
        post = f"p{number}"
        form = connectivity.post_map or connectivity.shape[1:]
        bias = np.repeat(rng.normal(0, 0.1, form[0]), math.prod(form[1:])) if has_bias else np.zeros(())
        neurons = dynamics if same else _dynamics(rng, *shape)
        populations.append(Population(name=post, shape=form, dynamics=neurons, bias=bias))
        projections.append(Projection(pre=pre, post=post, connectivity=connectivity))
        pre = post
    return Network(
        input_shape=input_shape,
        populations=tuple(populations),
        projections=tuple(projections),
        output=pre,
        x_max=x_max,
    )


def _dynamics(rng: np.random.Generator, mode: ResetMode, place: ResetPlace) -> IF | LIF:
    threshold = np.array(float(rng.choice([0.5, 1.0, 1.0, 1.5])))
    if rng.random() < 0.15:
        return IF(threshold=threshold, reset_mode=mode, reset_place=place)
    beta = np.array(float(rng.choice([0.5, 0.75, 0.8, 0.9, 0.9375, 0.95, 0.97])))
    return LIF(beta=beta, threshold=threshold, reset_mode=mode, reset_place=place)
