"""The MNIST networks of the hardware's table, from MNIST's own files: trained, pruned, quantised and trained on."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from mnist import CALIBRATION, NETWORKS, STEPS, rate_code, read_images, shrunk, train
from spikeloom.compiler.compression.apply import compress
from spikeloom.compiler.compression.finetune import FineTune
from spikeloom.compiler.compression.recipe import Recipe
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.frontends.snntorch.frontend import from_snntorch

BITS = 4
FINETUNED = {"mnist": ("half", 0.97), "mnist16": ("small", 0.91)}
"""Each option of the table: the network that is trained for it, and how sparse it becomes."""


def prepare(options: argparse.Namespace, folder: Path) -> None:
    """Fill in the files of the networks that were not given, made now or by an earlier run, from `--idx`."""
    for option, (name, sparsity) in FINETUNED.items():
        if getattr(options, option) is not None:
            continue
        network, data = folder / f"{option}.nir", folder / f"{option}_test.npz"
        if not (network.is_file() and data.is_file()):
            _make(options, name, sparsity, network, data)
        setattr(options, option, network)
        setattr(options, f"{option}_data", data)


def _make(options: argparse.Namespace, name: str, sparsity: float, network: Path, data: Path) -> None:
    side = NETWORKS[name].side
    images, labels = read_images(options.idx, "train")
    images = shrunk(images, side)
    network.parent.mkdir(parents=True, exist_ok=True)
    trained = network.with_name(f"{network.stem}_float.nir")
    if not trained.is_file():
        print(f"training {name} ({NETWORKS[name].about})", flush=True)
        model = train(NETWORKS[name], images, labels, options.epochs, options.seed)
        write_nir(from_snntorch(model, (side**2,)), trained)
    source = read_nir(trained)
    spikes = rate_code(images, STEPS, seed=13)
    print(f"compressing {name} to {sparsity:.0%} and {BITS} bits, trained on {len(images):,} images", flush=True)
    training = FineTune(spikes=spikes, labels=labels, epochs=options.finetune_epochs)
    recipe = Recipe(method="osbc", sparsity=sparsity, bits=BITS)
    compressed, _ = compress(source, recipe, spikes[:CALIBRATION], finetune=training)
    test, test_labels = read_images(options.idx, "t10k")
    np.savez_compressed(data, spikes=rate_code(shrunk(test, side), STEPS, seed=12), labels=test_labels)
    write_nir(compressed, network)
