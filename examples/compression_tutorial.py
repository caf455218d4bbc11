"""The compression tutorial, section by section, on scikit-learn's handwritten digits.

    python examples/compression_tutorial.py [--output FOLDER]

trains a 64-64-10 network in a few seconds, prunes and quantises it in every way that `spikeloom.compiler.compression`
knows, prints what each costs on samples that training never saw, fits it to an iCE40 with the real tools (a minute),
and writes the compressed network as a NIR file that `spikeloom compile` takes. It needs torch, snntorch, optuna and
scikit-learn.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from spikeloom.compiler import write_nir
from spikeloom.compiler.compression import measured_rates, prune_neurons, prune_weights
from spikeloom.compiler.compression.quantization import quantize_delays, quantize_weights
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.optimizer import fit_to_target
from spikeloom.compiler.training import DelayLinear, SpikingNet, train_epoch
from spikeloom.sim import simulate

STEPS = 16
TRAINING = 1400
FORMATS = ((16, "fixed_point"), (8, "fixed_point"), (4, "fixed_point"), (2, "ternary"), (1, "binary"))

Spikes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def digits(seed: int) -> tuple[Spikes, Labels]:
    """The 1,797 images as spikes [samples, steps, 64]; a pixel's brightness is its chance of a spike in each step."""
    data = load_digits()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(data.target))
    chance = data.data[order, None, :] / 16
    return (rng.random((len(order), STEPS, 64)) < chance).astype(np.uint8), data.target[order].astype(np.int64)


def trained(spikes: Spikes, labels: Labels, epochs: int) -> SpikingNet:
    """A network trained for a few epochs."""
    torch.manual_seed(0)
    model = SpikingNet(n_input=64, n_hidden=64, n_output=10)
    samples = torch.utils.data.TensorDataset(torch.from_numpy(spikes), torch.from_numpy(labels))
    loader = torch.utils.data.DataLoader(samples, batch_size=64, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(epochs):
        loss, accuracy = train_epoch(model, loader, optimizer, STEPS)
        print(f"epoch {epoch + 1}: loss {loss:.3f}, accuracy {accuracy:.1%}")
    return model


def accuracy(network: Network, spikes: Spikes, labels: Labels) -> str:
    """The accuracy of a network on samples, by the executor that suits its level."""
    executor = "reference" if network.is_integer else "float"
    return f"{simulate(network, spikes, executor=executor).accuracy(labels):.1%}"


def learned_delays() -> npt.NDArray[np.float64]:
    """Delays that bring the spikes of three inputs, in the steps 0, 2 and 5, together at an output in step 6."""
    layer = DelayLinear(3, 1, max_delay=8, init_delay=0.5, bias=False)
    layer.weight.data.fill_(1.0)
    optimizer = torch.optim.Adam([layer.delay], lr=0.1)
    for _ in range(100):
        layer.reset()
        membrane = torch.zeros(1, 1)
        for step in range(7):
            spikes = torch.tensor([[float(step == start) for start in (0, 2, 5)]])
            membrane = 0.8 * membrane + layer(spikes)
        optimizer.zero_grad()
        (-membrane.sum()).backward()
        optimizer.step()
    return layer.delays


def prune_by_weight(model: SpikingNet, rates: Sequence[npt.NDArray[np.float64]], test: tuple[Spikes, Labels]) -> None:
    """The first section."""
    weights = [layer["weight"] for layer in model.to_sc_weights()]
    print("\n1. Weight pruning")
    pruned, report = prune_weights(weights, threshold=0.05)
    print(
        f"magnitude: sparsity {report.sparsity:.1%}, {report.original_params:,} -> {report.remaining_params:,} weights,"
    )
    print(f"           {report.compression_ratio:.1f}x smaller, accuracy {accuracy(model.to_network(pruned), *test)}")
    active, report = prune_weights(weights, method="activity", activity_threshold=0.02, spike_rates=rates)
    print(f"activity:  sparsity {report.sparsity:.1%}, accuracy {accuracy(model.to_network(active), *test)}")


def main() -> None:
    """Run every section."""
    parser = argparse.ArgumentParser(description="The compression tutorial on handwritten digits.")
    parser.add_argument("--output", type=Path, default=Path("build/tutorial"), metavar="FOLDER")
    parser.add_argument("--epochs", type=int, default=8, metavar="N")
    parser.add_argument("--trials", type=int, default=6, metavar="N", help="points of the search (default: 6)")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)

    spikes, labels = digits(seed=0)
    test = spikes[TRAINING:], labels[TRAINING:]
    model = trained(spikes[:TRAINING], labels[:TRAINING], options.epochs)
    network = model.to_network()
    rates = measured_rates(network, spikes[:200])
    print(f"float accuracy on {len(test[1])} test samples: {accuracy(network, *test)}")

    prune_by_weight(model, rates, test)

    print("\n2. Structural pruning")
    smaller, structure = prune_neurons(network, activity_threshold=0.02, spike_rates=rates)
    print(
        f"removed {structure.pruned_neurons} neurons: {structure.new_dimensions}, accuracy {accuracy(smaller, *test)}"
    )

    print("\n3. Weight quantisation")
    for bits, scheme in FORMATS:
        quantised = quantize_weights(network, bits=bits, scheme=scheme)
        print(f"{bits:2} bits {scheme:<12} accuracy {accuracy(quantised, *test)}")

    print("\n4. Delay quantisation")
    delays = learned_delays()
    print(f"learned {delays.ravel().round(2)}, in whole steps {quantize_delays(delays).ravel()}")
    print(f"[1.3 2.7 4.1 0.8] at resolution 2: {quantize_delays([1.3, 2.7, 4.1, 0.8], resolution=2)}")

    print("\n5. Fit to a device")
    layers = model.to_sc_weights()
    result = fit_to_target(
        layer_shapes=[layer["weight"].shape for layer in layers],
        weights=layers,
        target="ice40",
        data=(spikes[:TRAINING], labels[:TRAINING]),
        test=test,
        distil=False,  # a first look: without training on the way
        trials=options.trials,
    )
    print(result.summary())

    print("\n6. Train, compress, deploy")
    pruned, _ = prune_weights([layer["weight"] for layer in model.to_sc_weights()], threshold=0.05)
    integers = quantize_weights(model.to_network(pruned), bits=8)
    file = options.output / "tutorial.nir"
    write_nir(integers, file)
    print(f"pruned and 8 bits: accuracy {accuracy(integers, *test)}; next: spikeloom compile {file} --board icebreaker")


if __name__ == "__main__":
    main()
