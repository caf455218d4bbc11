"""How fast the integer reference runs all 10,000 MNIST test images on 784-128-10, beside a naive NumPy baseline.

    OPENBLAS_NUM_THREADS=1 python benchmarks/reference_speed.py --mnist FOLDER [--steps 25] [--baseline-images 200]

The images are those of MNIST's IDX files in FOLDER, rate coded: a pixel fires in a step with the probability of its
grey level. The weights are random 4-bit integers, 95 % zeros or none, because the speed does not depend on training.
The baseline is the same contract with int64 matrix products, sample by sample; it runs on the first images only and is
scaled up. Both give the same spikes, which is checked.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mnist import rate_code, read_images
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import Decay, IntegerDynamics, Kind
from spikeloom.sim.reference import run_reference

LEAK_C, LEAK_K, FRACTION_BITS, STATE_BITS = 13, 8, 4, 16


def mnist_network(sparsity: float) -> Network:
    """An integer 784-128-10 network with random 4-bit weights."""
    rng = np.random.default_rng(1)
    sizes = (784, 128, 10)
    names = (INPUT, "hidden", "output")
    populations, projections = [], []
    for pre, post, rows, columns in zip(names, names[1:], sizes, sizes[1:], strict=False):
        fire = rng.integers(200, 900, columns)
        dynamics = IntegerDynamics(
            kind=Kind.LIF,
            fire=fire,
            sub=fire,
            decay=Decay(c=LEAK_C, k=LEAK_K),
            state_bits=STATE_BITS,
            fraction_bits=FRACTION_BITS,
        )
        codes = rng.integers(-7, 8, (rows, columns)) * (rng.random((rows, columns)) >= sparsity)
        weights = Quantised(codes=codes, bits=4)
        populations.append(Population(name=post, shape=(columns,), dynamics=dynamics))
        projections.append(Projection(pre=pre, post=post, connectivity=Dense(weights=weights), shift=FRACTION_BITS))
    return Network(input_shape=(784,), populations=tuple(populations), projections=tuple(projections), output="output")


def naive(network: Network, spikes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The output spikes, one sample at a time with int64 products."""
    result = []
    for sample in spikes:
        x = sample.astype(np.int64)
        for population, projection in zip(network.populations, network.projections, strict=True):
            dynamics = population.dynamics
            assert isinstance(dynamics, IntegerDynamics)
            v = np.zeros(population.size, np.int64)
            fired = np.zeros((len(x), population.size), np.int64)
            for step, row in enumerate(x):
                u = v - ((v * LEAK_C + (1 << (LEAK_K - 1))) >> LEAK_K) + ((row @ projection.connectivity.codes) << 4)
                fired[step] = u > dynamics.fire
                v = np.clip(u - fired[step] * dynamics.sub, -(1 << (STATE_BITS - 1)), (1 << (STATE_BITS - 1)) - 1)
            x = fired
        result.append(x)
    return np.array(result, np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, required=True, metavar="FOLDER", help="MNIST's IDX files")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--baseline-images", type=int, default=200)
    options = parser.parse_args()
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        sys.exit("one core means one BLAS thread: set OPENBLAS_NUM_THREADS=1")
    spikes = rate_code(read_images(options.mnist, "t10k")[0], options.steps, seed=0)
    print(f"{len(spikes)} images x {options.steps} steps, {spikes.mean():.1%} of the inputs fire, one core")
    for sparsity in (0.0, 0.95):
        network = mnist_network(sparsity)
        start = time.perf_counter()
        recording = run_reference(network, spikes)
        fast = time.perf_counter() - start
        some = spikes[: options.baseline_images]
        start = time.perf_counter()
        expected = naive(network, some)
        slow = (time.perf_counter() - start) * len(spikes) / len(some)
        if not np.array_equal(recording.spikes[: len(some)], expected):
            sys.exit("the baseline and the reference disagree")
        rate = recording.populations["hidden"].spikes.mean()
        print(
            f"sparsity {sparsity:.0%}: reference {fast:.2f} s, naive int64 {slow:.1f} s (scaled up from {len(some)} "
            f"images), {slow / fast:.0f} times; hidden neurons fire in {rate:.1%} of the steps"
        )


if __name__ == "__main__":
    main()
