"""What one-shot compression costs and keeps, on a network for MNIST: method x sparsity x bits.

    python benchmarks/compression.py NETWORK.nir --mnist FOLDER [--images 400] [--seeds 3] [--finetune 60000]
        [--plot FILE.svg]
    python benchmarks/compression.py NETWORK.nir --mnist FOLDER --trade
    python benchmarks/compression.py --growth
    python benchmarks/compression.py NETWORK.nir ... --mnist FOLDER --losses [--images 2000] [--only 95 97,4 ...]
        [--tuned EPOCHS]

NETWORK.nir is a trained float network with 784 inputs, as `benchmarks/mnist.py` writes it, rate coded over `--steps`
steps; FOLDER holds MNIST's IDX files. Calibration are `--images`
training images without labels, others for each seed; accuracy is that of the float executor or the integer reference on
all 10,000 test images, which nothing else sees, and its spread the standard deviation over the seeds. Operations are
synaptic events per test sample. Stored bits count a code per remaining weight; the entropy bound is what an ideal code
for all weights, zeros included, would take. `--trade` shows instead accuracy and operations by how much operations
count in what is pruned (`operation_weight`), `--growth` how time and memory of the exact elimination, and of that after
thinning, grow with a layer's size. `--losses` shows what compression costs several networks and in the mean, beside the
goals that were set, on the last 5,000 training images, which no network was trained on, and on the test images; with
`--tuned` after as many epochs on the other 55,000, the original their teacher.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from measuring.losses import Setting, Subject
from measuring.losses import table as table_of_losses
from mnist import VALIDATION, Labels, Spikes, rate_code, read_images
from spikeloom.compiler.compression.allocation import allocate, kept_after
from spikeloom.compiler.compression.finetune import FineTune
from spikeloom.compiler.compression.hessian import Problem
from spikeloom.compiler.compression.material import Images
from spikeloom.compiler.compression.obs import Order, eliminate, eliminate_kept, refit
from spikeloom.compiler.compression.one_shot import compress_weights
from spikeloom.compiler.compression.recipe import Recipe
from spikeloom.compiler.compression.staged import thinned
from spikeloom.compiler.data.samples import Samples
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.ir.connectivity import Connectivity
from spikeloom.compiler.ir.network import INPUT, Network
from spikeloom.compiler.names import METHODS
from spikeloom.hdl.images.coding import Encoder, ImageCoding
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference
from storage import entropy_bits

SETTINGS: tuple[tuple[float, int | None], ...] = (
    (0.90, None),
    (0.95, None),
    (0.97, None),
    (0.98, None),
    (0.99, None),
    (0.95, 4),
    (0.0, 4),
    (0.0, 2),
    (0.0, 1),
)
"""Sparsity and bits; without bits weights stay float, and one bit means binary weights."""


def executed(network: Network, spikes: Spikes, labels: Labels) -> tuple[float, float]:
    """Accuracy in percent, and synaptic operations per sample: one for each spike and synapse that it meets."""
    populations = (run_reference if network.is_integer else run_float)(network, spikes).populations
    fired = {name: recorded.spikes.sum(axis=(0, 1), dtype=np.int64) for name, recorded in populations.items()}
    fired[INPUT] = spikes.sum(axis=(0, 1), dtype=np.int64)
    operations = sum(int(fired[p.pre] @ p.connectivity.fan_out()) for p in network.projections)
    counts = populations[network.output].spikes.sum(axis=1, dtype=np.int64)
    return 100 * float(np.mean(counts.argmax(axis=1) == labels)), operations / len(spikes)


def storage(network: Network) -> tuple[float, int, int]:
    """Sparsity, the bits of the remaining weights, and the entropy bound of all."""
    codes = [p.connectivity.values for p in network.projections]
    widths = [_width(p.connectivity) for p in network.projections]
    stored = sum(int(np.count_nonzero(c)) * width for c, width in zip(codes, widths, strict=True))
    entropy = sum(
        int(entropy_bits(c)) if width < 32 else int(entropy_bits(c != 0)) + int(np.count_nonzero(c)) * 32
        for c, width in zip(codes, widths, strict=True)
    )
    return 1 - sum(int(np.count_nonzero(c)) for c in codes) / sum(c.size for c in codes), stored, entropy


def _width(connectivity: Connectivity) -> int:
    return connectivity.quantised.synapse_bits if connectivity.is_integer else 32


def forget_peak() -> None:
    """Start measuring the peak of this process's memory anew."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mib() -> int:
    """The most memory that this process has had since `forget_peak`."""
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index("VmHWM:") + 1]) // 1024


@dataclass(frozen=True)
class Row:
    """A method at a sparsity and bits; a figure for each seed."""

    method: str
    sparsity: float
    bits: int | None
    accuracies: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        return float(np.mean(self.accuracies))


def table(
    network: Network,
    settings: Sequence[tuple[float, int | None]],
    methods: Sequence[tuple[str, str, FineTune | None]],
    calibrations: Sequence[Spikes],
    test: tuple[Spikes, Labels],
) -> tuple[float, list[Row]]:
    """Print the table of all settings and methods (name, method, training); returns the float accuracy and the rows."""
    original, operations = executed(network, *test)
    print(f"float: {original:.2f} % of {len(test[1])} test samples, {operations:.0f} operations per sample")
    print(f"{'method':16}{'sparsity':>9}{'bits':>6}{'accuracy':>10}{'spread':>8}{'lost':>7}{'seeds':>7}", end="")
    print(f"{'seconds':>9}{'CPU s':>8}{'peak MiB':>10}{'stored':>9}{'entropy':>9}{'operations':>12}")
    rows = []
    for sparsity, bits in settings:
        for name, method, training in methods:
            forget_peak()
            wall, processor = time.perf_counter(), time.process_time()
            results = [_compressed(network, method, sparsity, bits, c, training) for c in calibrations]
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            peak = peak_mib()
            right, operations = zip(*(executed(result, *test) for result in results), strict=True)
            row = Row(name, sparsity, bits, right)
            reached, stored, entropy = np.mean([storage(result) for result in results], axis=0)
            print(f"{name:16}{reached:9.4f}{bits or 'float':>6}{row.accuracy:10.2f}{np.std(right):8.2f}", end="")
            print(f"{original - row.accuracy:7.2f}{len(right):7}{wall / len(right):9.1f}", end="")
            print(f"{processor / len(right):8.1f}{peak:10}{stored:9.0f}{entropy:9.0f}", end="")
            print(f"{np.mean(operations):12.0f}", flush=True)
            rows.append(row)
    return original, rows


def _compressed(
    network: Network, method: str, sparsity: float, bits: int | None, calibration: Spikes, training: FineTune | None
) -> Network:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # magnitude silences neurons at these sparsities
        recipe = Recipe(method=method, sparsity=sparsity, bits=bits, scheme="binary" if bits == 1 else "fixed_point")
        return compress_weights(network, recipe, calibration, finetune=training)


def mnist(network: Network, arguments: argparse.Namespace) -> tuple[float, list[Row]]:
    """The table of a network for MNIST, and its own accuracy."""
    pixels, labels = read_images(arguments.mnist, "train")
    steps, calibrations = arguments.steps, _calibrations(pixels, arguments)
    test_pixels, test_labels = read_images(arguments.mnist, "t10k")
    methods: list[tuple[str, str, FineTune | None]] = [(method, method, None) for method in arguments.methods]
    if arguments.finetune:
        part = slice(arguments.finetune)
        spikes = rate_code(pixels[part], steps, seed=3)
        training = FineTune(
            spikes=spikes, labels=labels[part], epochs=arguments.epochs, mixed_precision=arguments.mixed_precision
        )
        methods.append(("osbc + training", "osbc", training))
    return table(network, SETTINGS, methods, calibrations, (rate_code(test_pixels, steps, seed=2), test_labels))


def _calibrations(pixels: npt.NDArray[np.uint8], arguments: argparse.Namespace) -> list[Spikes]:
    """The training images on which is compressed, others for each seed."""
    count = arguments.images
    starts = range(0, count * arguments.seeds, count)
    return [rate_code(pixels[k : k + count], arguments.steps, seed=1 + k) for k in starts]


def plot(rows: Sequence[Row], original: float, file: Path) -> None:
    """Accuracy over the share of weights that remain, one line for each method."""
    import matplotlib

    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "spikeloom"}  # small, and the same every time
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6))
    rows = [row for row in rows if row.bits is None]
    axes.axhline(original, color="grey", linestyle=":", label="float, dense")
    for name in dict.fromkeys(row.method for row in rows):
        points = [(100 * (1 - row.sparsity), row.accuracy) for row in rows if row.method == name]
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name)
    shares = sorted({100 * (1 - row.sparsity) for row in rows})
    axes.set(xscale="log", xlabel="weights that remain, %", ylabel="test accuracy, %", ylim=(0, 100))
    axes.set_xticks(shares, labels=[f"{share:g}" for share in shares], minor=False)
    axes.set_xticks([], minor=True)
    axes.invert_xaxis()
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", fontsize="small")
    figure.savefig(file, bbox_inches="tight", metadata={"Date": None} if file.suffix == ".svg" else None)


def trade(network: Network, arguments: argparse.Namespace) -> None:
    """Print what osbc keeps and what the hardware has to do, by how much operations count, at 95 % sparsity."""
    pixels, _ = read_images(arguments.mnist, "train")
    calibration = rate_code(pixels[: arguments.images], arguments.steps, seed=1)
    test_pixels, labels = read_images(arguments.mnist, "t10k")
    test = rate_code(test_pixels, arguments.steps, seed=2)
    print(f"{'weight':>7}{'accuracy':>10}{'operations':>12}")
    for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
        recipe = Recipe(method="osbc", sparsity=0.95, bits=None, operation_weight=weight)
        result = compress_weights(network, recipe, calibration)
        right, operations = executed(result, test, labels)
        print(f"{weight:7}{right:10.2f}{operations:12.0f}", flush=True)


GOALS: tuple[tuple[float, int | None, float, float], ...] = (
    (0.95, None, 0.7, 0.0),
    (0.97, None, 1.3, 0.2),
    (0.98, None, 2.4, 0.6),
    (0.95, 4, 0.6, 0.1),
    (0.97, 4, 1.3, 0.3),
)
"""What is measured on several networks: sparsity, bits, and the points that may be lost in the mean, in one shot and
after training."""


def losses(files: Sequence[str], arguments: argparse.Namespace) -> None:
    """Print what compression costs networks for MNIST."""
    pixels, labels = read_images(arguments.mnist, "train")
    test_pixels, test_labels = read_images(arguments.mnist, "t10k")
    steps, held = arguments.steps, slice(len(pixels) - VALIDATION, None)
    judges = {
        "validation": Samples(spikes=rate_code(pixels[held], steps, seed=4), labels=labels[held]),
        "test": Samples(spikes=rate_code(test_pixels, steps, seed=2), labels=test_labels),
    }
    calibrations = _calibrations(pixels, arguments)
    training = None
    if arguments.tuned:
        own = slice(0, len(pixels) - VALIDATION)
        material = Images(
            pixels=pixels[own], labels=labels[own], coding=ImageCoding(encoder=Encoder.RATE, steps=steps, x_max=1)
        )
        training = FineTune(material=material, epochs=arguments.tuned, mixed_precision=arguments.mixed_precision)
    subjects = [
        Subject(
            name=Path(file).stem,
            network=read_nir(file),
            calibrations=calibrations,
            judges=judges,
            training=training,
        )
        for file in files
    ]
    settings = [
        Setting(sparsity=sparsity, bits=bits, goal=after_training if arguments.tuned else one_shot)
        for sparsity, bits, one_shot, after_training in GOALS
    ]
    table_of_losses(subjects, [s for s in settings if arguments.only is None or _name(s) in arguments.only])


def _name(setting: Setting) -> str:
    """A setting as `--only` says it: 95, or 97,4 with bits."""
    return f"{100 * setting.sparsity:g}" + ("" if setting.bits is None else f",{setting.bits}")


def growth() -> None:
    """Print what pruning one layer of 128 neurons to 95 % takes, by its number of inputs."""
    print(f"{'':7}{'exact':>14}{'':8}{'thinned to a quarter first':>34}")
    print(f"{'inputs':>7}{'CPU s':>8}{'MiB':>6}{'2/3 rows d^3':>16}{'CPU s':>8}{'MiB':>6}{'loss / exact':>14}")
    for size in (128, 256, 512, 768, 1024):
        problem = layer(size)
        exact, exact_mib, least = cost(problem, exactly)
        thin, thin_mib, loss = cost(problem, after_thinning)
        print(f"{size:7}{exact:8.1f}{exact_mib:6}{2 / 3 * 128 * size**3:16.1e}", end="")
        print(f"{thin:8.1f}{thin_mib:6}{loss / least:14.3f}", flush=True)


def layer(size: int) -> Problem:
    """128 neurons with as many random inputs that go together."""
    import torch

    rng = torch.Generator().manual_seed(0)
    mix = torch.randn(size, size, generator=rng, dtype=torch.float64) / size**0.5
    x = torch.randn(2 * size, size, generator=rng, dtype=torch.float64) @ (mix + torch.eye(size))
    nothing = torch.zeros(size, dtype=torch.float64)
    return Problem(
        neurons=np.arange(128),
        hessian=x.T @ x / len(x) + 0.03 * torch.eye(size),
        target=torch.randn(128, size, generator=rng, dtype=torch.float64),
        bias=torch.zeros(128, dtype=torch.float64),
        slope=nothing,
        active=nothing == 0,
    )


def exactly(problem: Problem) -> Order:
    return eliminate(problem.hessian, problem.target, problem.target.isnan())


def after_thinning(problem: Problem) -> Order:
    (kept,) = thinned([problem], [problem.target.isnan()], 0.25)
    return eliminate_kept(problem.hessian, problem.target, kept)


def cost(problem: Problem, ordered: Callable[[Problem], Order]) -> tuple[float, int, float]:
    """CPU seconds and MiB of finding an order, and the loss at 95 % sparsity."""
    forget_peak()
    before, started = peak_mib(), time.process_time()
    order = ordered(problem)
    seconds, memory = time.process_time() - started, peak_mib() - before
    (counts,) = allocate([order.losses], [problem.energy], 0.95)
    kept = kept_after(order.synapses, counts)
    return seconds, memory, float(problem.loss(refit(problem.hessian, problem.target, kept)).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", nargs="*", help="a trained float network, .nir")
    parser.add_argument("--mnist", type=Path, metavar="FOLDER", help="MNIST's IDX files")
    parser.add_argument("--images", type=int, default=400, help="calibration images")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1, help="how many sets of calibration images")
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=METHODS)
    parser.add_argument("--finetune", type=int, default=0, metavar="IMAGES", help="labelled images for osbc + training")
    parser.add_argument("--epochs", type=int, default=FineTune.epochs, help="passes over them")
    parser.add_argument("--mixed-precision", action="store_true", help="train in bfloat16 where that suffices")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    parser.add_argument("--growth", action="store_true", help="time and memory by a layer's size instead")
    parser.add_argument("--trade", action="store_true", help="accuracy by how much operations count instead")
    parser.add_argument("--losses", action="store_true", help="what several networks lose instead")
    parser.add_argument("--only", nargs="+", metavar="S[,BITS]", help="of these settings only, as 95 or 97,4")
    parser.add_argument("--tuned", type=int, default=0, metavar="EPOCHS", help="after as many epochs of training")
    arguments = parser.parse_args()
    if arguments.growth:
        growth()
        return
    if not arguments.network:
        parser.error("a network is needed, or --growth")
    if arguments.mnist is None:
        parser.error("MNIST's images are needed: --mnist FOLDER of its IDX files")
    if arguments.losses:
        losses(arguments.network, arguments)
        return
    if len(arguments.network) > 1:
        parser.error("several networks are for --losses: give one")
    (network,) = map(read_nir, arguments.network)
    if arguments.trade:
        trade(network, arguments)
        return
    original, rows = mnist(network, arguments)
    if arguments.plot:
        plot(rows, original, arguments.plot)


if __name__ == "__main__":
    main()
