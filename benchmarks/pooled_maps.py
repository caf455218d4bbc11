"""Cores of networks that take the maxima of currents: NeuroBench's for DVS128 Gesture, snnTorch's tutorial network.

    python benchmarks/pooled_maps.py --gesture dvs_gesture_snntorch.pt [--sparsity 0.5] [--tools FOLDER]
    python benchmarks/pooled_maps.py --mnist mnist_conv.nir --images mnist_conv_calibration.npz [--tools FOLDER]

An engine per layer and one lane. Block RAMs are those that the core is planned with, of those of the device; cycles are
the exact model's for the first `--steps` steps of a sample, events per second what the core takes in at its own Fmax.
With `--tools` cores that the device has block RAM for are synthesised, placed and routed, and keep their figures in
that FOLDER. `--check` runs the same steps in Amaranth's simulator too, and compares spikes and membranes with the
integer reference.

DVS128 Gesture itself is not at hand: frames [2, 32, 32] of counts are those of a spot that circles, `--events` a step.
`mnist_conv.nir` is what `examples/train_mnist_conv.py` trains; its images are coded as there.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from measuring.bench import Bench
from spikeloom.boards.devices import DEVICES
from spikeloom.compiler.compression.one_shot import compress_weights
from spikeloom.compiler.compression.recipe import Recipe
from spikeloom.compiler.cycles.count import count_cycles
from spikeloom.compiler.data.samples import load_samples
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.compiler.plan.folding import pipelined_folding
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.images.coding import Encoder, ImageCoding
from spikeloom.sim.amaranth_executor import run_amaranth
from spikeloom.sim.reference import run_reference

CODING = ImageCoding(encoder=Encoder.RATE, steps=10)
GESTURE_STEPS = 150
TARGETS = ((8, "lfe5u-45f"), (4, "lfe5u-25f"))
COLUMNS = ("network", "bits", "device", "DP16KD", "LUT4", "COMB", "MHz", "events a step", "cycles a step", "events a s")

Spikes = npt.NDArray[np.uint8]


def gesture_network(file: Path) -> Network:
    """NeuroBench's network, from its state dictionary."""
    import snntorch as snn
    import torch
    from spikeloom.compiler.frontends.snntorch.frontend import from_snntorch
    from torch import nn

    state = torch.load(file, weights_only=True)

    def fires(number: int) -> Any:
        beta, threshold = (state[f"lif{number}.{key}"] for key in ("beta", "threshold"))
        return snn.Leaky(beta=beta, threshold=threshold, init_hidden=True)

    layers: list[nn.Module] = []
    for number, (pre, post) in enumerate(pairwise((2, 16, 32, 64)), 1):
        layers += [nn.Conv2d(pre, post, 5, padding="same"), nn.MaxPool2d(2), fires(number)]
    layers += [nn.Flatten(), nn.Linear(1024, 11), fires(4)]
    module = nn.Sequential(*layers)
    for layer, name in zip((0, 3, 6, 10), ("conv1", "conv2", "conv3", "linear1"), strict=True):
        module[layer].load_state_dict({key: state[f"{name}.{key}"] for key in ("weight", "bias")})
    return from_snntorch(module, (2, 32, 32), x_max=15)


def circling(samples: int, events: int) -> Spikes:
    """Frames of a spot that circles, and a tenth of its events anywhere."""
    rng = np.random.default_rng(0)
    frames = np.zeros((samples, GESTURE_STEPS, 2, 32, 32), np.int64)
    for sample in range(samples):
        centre, speed, phase = rng.uniform(10, 22, 2), rng.uniform(0.05, 0.2), rng.uniform(0, 2 * np.pi)
        for step, frame in enumerate(frames[sample]):
            place = centre + 6 * np.array([np.sin(speed * step + phase), np.cos(speed * step + phase)])
            count, noise = rng.poisson(events * 10 // 11), rng.poisson(events / 11)
            spot = np.rint(place[:, None] + rng.normal(0, 4, (2, count))).clip(0, 31).astype(np.int64)
            everywhere = np.concatenate([spot, rng.integers(0, 32, (2, noise))], axis=1)
            np.add.at(frame, (rng.integers(0, 2, count + noise), *everywhere), 1)
    return np.minimum(frames, 15).astype(np.uint8)


def rows_of(
    title: str, network: Network, given: Spikes, options: argparse.Namespace, bench: Bench | None
) -> Iterator[list[str]]:
    """A row for 8 and 4 bits; `given` are samples [samples, steps, inputs], the last one to count cycles on."""
    part = given[-1:, : options.steps]
    events = float(part.sum(dtype=np.int64)) / part.shape[1]
    for bits, device in TARGETS:
        if bits not in options.bits:
            continue
        whole = _integers(network, bits, given, options.sparsity)
        plan = make_plan(whole, "ecp5", pipelined_folding(whole))
        blocks = DEVICES[device].capacity.brams
        recording = run_reference(whole, part, membranes=options.check)
        cycles = float(np.mean(count_cycles(plan, recording.trains(part)))) / part.shape[1]
        figures = None if bench is None or plan.brams > blocks else bench.core(plan, device).figures
        built = ["-"] * 3 if figures is None else [f"{figures[key]:,.0f}" for key in ("luts", "comb", "fmax_mhz")]
        rate = "-" if figures is None else f"{events / cycles * figures['fmax_mhz'] * 1e6:,.0f}"
        yield [title, str(bits), device, f"{plan.brams} of {blocks}", *built, f"{events:,.0f}", f"{cycles:,.0f}", rate]
        if options.check:
            found = run_amaranth(plan, part, membranes=True)
            for name, expected in recording.populations.items():
                got = found.populations[name]
                same = np.array_equal(got.spikes, expected.spikes) and np.array_equal(got.membranes, expected.membranes)
                print(f"{title}, {bits} bits: {name} is {'exact' if same else 'NOT EXACT'} in Amaranth's simulator")


def _integers(network: Network, bits: int, given: Spikes, sparsity: float) -> Network:
    if not sparsity:
        return quantise(network, bits, given)
    return compress_weights(network, Recipe(method="magnitude", sparsity=sparsity, bits=bits), given)


def main() -> int:
    """Print the table as it comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gesture", type=Path, help="dvs_gesture_snntorch.pt of NeuroBench")
    parser.add_argument("--mnist", type=Path, help="mnist_conv.nir")
    parser.add_argument("--images", type=Path, help="mnist_conv_calibration.npz")
    parser.add_argument("--bits", type=int, nargs="*", default=[8, 4])
    parser.add_argument("--sparsity", type=float, default=0.0, help="the share of weights that magnitude prunes (0)")
    parser.add_argument("--events", type=int, default=550, help="of a step of gestures (550)")
    parser.add_argument("--steps", type=int, default=4, help="whose cycles are counted (4)")
    parser.add_argument("--check", action="store_true", help="compare with Amaranth's simulator")
    parser.add_argument("--tools", type=Path, help="build the cores, and keep their figures in this folder")
    parser.add_argument("--seed", type=int, default=1, help="of placement (1)")
    options = parser.parse_args()
    bench = None if options.tools is None else Bench(options, options.tools)
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    work: list[tuple[str, Network, Spikes]] = []
    if options.gesture is not None:
        given = circling(2, options.events)
        work.append(("gestures", gesture_network(options.gesture), given.reshape(*given.shape[:2], -1)))
    if options.mnist is not None:
        work.append(("tutorial", read_nir(options.mnist), load_samples(options.images, coding=CODING).spikes[:40]))
    for title, network, given in work:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the leak that the frames do not show
            for row in rows_of(title, network, given, options, bench):
                print(f"| {' | '.join(row)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
