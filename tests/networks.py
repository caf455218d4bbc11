"""Random integer networks for the tests of the hardware."""

from __future__ import annotations

import numpy as np
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import Decay, IntegerDynamics, Kind, ResetMode, ResetPlace, Rounding

RESETS = [
    (ResetPlace.SAME, ResetMode.SUBTRACT),
    (ResetPlace.SAME, ResetMode.VALUE),
    (ResetPlace.NEXT, ResetMode.SUBTRACT),
    (ResetPlace.NEXT, ResetMode.VALUE),
    (ResetPlace.SNNTORCH_SAME, ResetMode.SUBTRACT),
]
"""Every place and mode of a reset that there is together."""


def random_codes(rng: np.random.Generator, pre: int, post: int, bits: int = 4, density: float = 0.4) -> np.ndarray:
    """Integer weights of which about `density` are not zero."""
    largest = 2 ** (bits - 1) - 1
    codes = rng.integers(1, largest + 1, (pre, post)) * rng.choice([-1, 1], (pre, post))
    return codes * (rng.random((pre, post)) < density)


def random_population(rng: np.random.Generator, name: str, size: int, **changes: object) -> Population:
    """LIF neurons that fire now and then; `changes` go to the dynamics."""
    fire = rng.integers(20, 60, size)
    dynamics: dict[str, object] = {
        "kind": Kind.LIF,
        "fire": fire,
        "sub": fire + rng.integers(0, 2, size),
        "decay": Decay(c=3, k=4, rounding=Rounding.NEAREST),
        "reset_mode": ResetMode.SUBTRACT,
        "reset_place": ResetPlace.NEXT,
        "state_bits": 10,
        "fraction_bits": 2,
    }
    return Population(
        name=name, shape=(size,), dynamics=IntegerDynamics(**{**dynamics, **changes}), bias=rng.integers(-2, 3, size)
    )


def connect(
    rng: np.random.Generator, pre: str, post: str, shape: tuple[int, int], bits: int = 4, density: float = 0.4
) -> Projection:
    """A random projection whose unit is the membrane's / 4."""
    weights = Quantised(codes=random_codes(rng, *shape, bits, density), bits=bits)
    return Projection(pre=pre, post=post, connectivity=Dense(weights=weights), shift=2)


def chain(seed: int, sizes: tuple[int, ...], **changes: object) -> Network:
    """A feed-forward network of LIF populations `p0`, `p1`, ...; `changes` go to every population's dynamics."""
    rng = np.random.default_rng(seed)
    names = [INPUT, *(f"p{number}" for number in range(len(sizes) - 1))]
    populations = [random_population(rng, n, size, **changes) for n, size in zip(names[1:], sizes[1:], strict=True)]
    projections = [
        connect(rng, names[number], names[number + 1], (sizes[number], sizes[number + 1]))
        for number in range(len(sizes) - 1)
    ]
    return Network(
        input_shape=(sizes[0],), populations=tuple(populations), projections=tuple(projections), output=names[-1]
    )


def random_spikes(seed: int, network: Network, samples: int = 3, steps: int = 6, rate: float = 0.4) -> np.ndarray:
    """uint8 [samples, steps, inputs], values up to the network's x_max."""
    rng = np.random.default_rng(seed)
    shape = (samples, steps, network.input_size)
    return ((rng.random(shape) < rate) * rng.integers(1, network.x_max + 1, shape)).astype(np.uint8)
