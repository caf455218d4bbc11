"""What one-shot compression costs and keeps, on a network for MNIST: method x sparsity x bits.

    python benchmarks/compression.py NETWORK.nir [--images 400] [--finetune 20000] [--plot FILE.png] [--growth]

NETWORK.nir is a trained float network with 784 inputs, rate coded over `--steps` steps. Calibration are the first
`--images` training images, without labels; accuracy is that of the float executor or the integer reference on all
10,000 test images, which nothing else sees. Stored bits count a code per remaining weight; the entropy bound is what
an ideal code for all weights, zeros included, would take. `--growth` shows instead how time and memory of the exact
elimination and of its staged form grow with a layer's size.
"""

from __future__ import annotations

import argparse
import gzip
import os
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from spikeloom.compiler.compression.finetune import FineTune
from spikeloom.compiler.compression.hessian import Problem
from spikeloom.compiler.compression.obs import eliminate
from spikeloom.compiler.compression.one_shot import compress_weights
from spikeloom.compiler.compression.staged import eliminate_in_stages
from spikeloom.compiler.ir import Network, Quantised
from spikeloom.compiler.nir_reader import read_nir
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

METHODS = ("magnitude", "activity", "obc", "osbc")
SETTINGS: tuple[tuple[float, int | None], ...] = (
    (0.90, None),
    (0.95, None),
    (0.97, None),
    (0.98, None),
    (0.99, None),
    (0.95, 4),
    (0.0, 4),
    (0.0, 2),
)
Spikes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def images(name: str) -> tuple[npt.NDArray[np.uint8], Labels]:
    """MNIST's `train` or `t10k` images [images, 784] and their labels."""
    root = Path(__file__).resolve().parent.parent
    folder = root / os.environ.get("SPIKELOOM_SHARED", "../shared") / "data" / "mnist"
    if not folder.is_dir():
        sys.exit(f"MNIST is not at {folder}; set SPIKELOOM_SHARED")
    pixels = gzip.decompress((folder / f"{name}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{name}-labels-idx1-ubyte.gz").read_bytes())
    return (
        np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 784),
        np.frombuffer(labels, np.uint8, offset=8).astype(np.int64),
    )


def rate_code(pixels: npt.NDArray[np.uint8], steps: int, seed: int) -> Spikes:
    """Spikes [images, steps, 784]: a pixel of grey level g fires with probability g / 255."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.random(pixels.shape, np.float32) < pixels / 255.0 for _ in range(steps)], 1).astype(np.uint8)


def accuracy(network: Network, spikes: Spikes, labels: Labels) -> float:
    recorded = (run_reference if network.is_integer else run_float)(network, spikes).populations[network.output]
    return 100 * float(np.mean(recorded.spikes.sum(axis=1, dtype=np.int64).argmax(axis=1) == labels))


def storage(network: Network) -> tuple[float, int, int]:
    """Sparsity, the bits of the remaining weights, and the entropy bound of all."""
    codes = [p.weights.codes if isinstance(p.weights, Quantised) else p.weights for p in network.projections]
    widths = [p.weights.bits if isinstance(p.weights, Quantised) else 32 for p in network.projections]
    stored = sum(int(np.count_nonzero(c)) * width for c, width in zip(codes, widths, strict=True))
    entropy = sum(
        _entropy(c) if width < 32 else _entropy(c != 0) + int(np.count_nonzero(c)) * 32
        for c, width in zip(codes, widths, strict=True)
    )
    return 1 - sum(int(np.count_nonzero(c)) for c in codes) / sum(c.size for c in codes), stored, entropy


def _entropy(values: npt.NDArray[np.generic]) -> int:
    shares = np.unique(values, return_counts=True)[1] / values.size
    return int(-values.size * (shares * np.log2(shares)).sum())


def peak_mib() -> int:
    """The most memory that this process has used so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def table(network: Network, arguments: argparse.Namespace) -> list[tuple[str, float, int | None, float]]:
    """Print the table; returns method, sparsity, bits and accuracy of each row."""
    pixels, labels = images("train")
    calibration = rate_code(pixels[: arguments.images], arguments.steps, seed=1)
    test_pixels, test_labels = images("t10k")
    test = rate_code(test_pixels, arguments.steps, seed=2)
    finetune = None
    if arguments.finetune:
        part = slice(arguments.images, arguments.images + arguments.finetune)
        spikes = rate_code(pixels[part], arguments.steps, seed=3)
        finetune = FineTune(spikes=spikes, labels=labels[part], epochs=4, hidden=0.0)
    print(f"float: {accuracy(network, test, test_labels):.2f} % of {len(test)} test images")
    print(f"{'method':16}{'sparsity':>9}{'bits':>6}{'accuracy':>10}{'seconds':>9}", end="")
    print(f"{'peak MiB':>10}{'stored':>9}{'entropy':>9}")
    rows = []
    runs: list[tuple[str, FineTune | None]] = [(method, None) for method in arguments.methods]
    runs += [(arguments.methods[-1], finetune)] if finetune else []
    for sparsity, bits in SETTINGS:
        for method, training in runs:
            started = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # magnitude silences neurons at these sparsities
                result = compress_weights(
                    network, method=method, sparsity=sparsity, bits=bits, calibration=calibration, finetune=training
                )
            seconds = time.perf_counter() - started
            name = method + (" + training" if training else "")
            reached, stored, entropy = storage(result)
            right = accuracy(result, test, test_labels)
            print(f"{name:16}{reached:9.4f}{bits or 'float':>6}{right:10.2f}{seconds:9.1f}", end="")
            print(f"{peak_mib():10}{stored:9}{entropy:9}", flush=True)
            rows.append((name, sparsity, bits, right))
    return rows


def plot(rows: list[tuple[str, float, int | None, float]], file: Path) -> None:
    """Accuracy over the share of weights that remain, one line for each method."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    for name in dict.fromkeys(row[0] for row in rows):
        points = [(1 - s, right) for method, s, bits, right in rows if method == name and bits is None]
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set(xscale="log", xlabel="share of weights that remain", ylabel="test accuracy in %")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, bbox_inches="tight")


def growth() -> None:
    """Seconds and memory of pruning one layer of 128 neurons to 95 %, by its number of inputs."""
    import torch

    print(f"{'inputs':>7}{'exact s':>9}{'2/3 rows d^3':>14}{'staged s':>10}{'peak MiB':>10}")
    for size in (128, 256, 512, 768):
        rng = torch.Generator().manual_seed(0)
        x = torch.randn(2 * size, size, generator=rng, dtype=torch.float64)
        hessian = x.T @ x / len(x) + 0.03 * torch.eye(size)
        target = torch.randn(128, size, generator=rng, dtype=torch.float64)
        nothing = torch.zeros(size, dtype=torch.float64)
        problem = Problem(
            neurons=np.arange(128),
            hessian=hessian,
            target=target,
            bias=nothing[:128],
            slope=nothing,
            active=nothing == 0,
        )
        gone = torch.zeros_like(target, dtype=torch.bool)
        started = time.perf_counter()
        eliminate(hessian, target, gone)
        exact = time.perf_counter() - started
        eliminate_in_stages([problem], [gone], 0.95)
        staged = time.perf_counter() - started - exact
        print(f"{size:7}{exact:9.2f}{2 / 3 * 128 * size**3:14.2e}{staged:10.2f}{peak_mib():10}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", nargs="?", help="a trained float network, .nir")
    parser.add_argument("--images", type=int, default=400, help="calibration images")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--finetune", type=int, default=0, metavar="IMAGES", help="labelled images to train on after")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    parser.add_argument("--growth", action="store_true")
    arguments = parser.parse_args()
    if arguments.growth:
        growth()
        return
    if arguments.network is None:
        parser.error("a network is needed, or --growth")
    rows = table(read_nir(arguments.network), arguments)
    if arguments.plot:
        plot(rows, arguments.plot)


if __name__ == "__main__":
    main()
