"""What a stored synapse takes, and what other encodings of the same weights would: a bitmap of the rows that are not
empty, and codes of variable length.

    python benchmarks/storage.py NETWORK.nir --calibration SAMPLES.npz [--sparsity 0.9 0.97 0.98] [--bits 4]

The network, of floats, is compressed in one shot (OSBC). For each engine of the smallest folding: its synapses, bits a
synapse and block RAMs of the rows as they are built, and of the same rows with

- `empty rows`: a bit for every row, with a count of the full rows before for each 32 of them, and words of the
  directory for those rows alone that have synapses;
- `Rice`, `Huffman`, `rANS`: gaps and weights in the codes that are best for them, a Rice code of the gaps beside
  weights of fixed width, a Huffman code of both, and the entropy of both, which rANS comes near. Rows have a directory.

Block RAMs of the last are those of a memory as wide as a block is. The bound is log2 C(cells, synapses) bits for places
and the width of a weight for each synapse.
"""

from __future__ import annotations

import argparse
import heapq
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from spikeloom.compiler.compression.apply import compress
from spikeloom.compiler.compression.recipe import Recipe
from spikeloom.compiler.encodings.row_weights import RowWeights
from spikeloom.compiler.encodings.rows import gaps_of
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.plan.folding import default_folding
from spikeloom.compiler.plan.plan import Plan, engine_orders, make_plan
from spikeloom.compiler.plan.weights import EngineWeights
from spikeloom.hdl.engines.row_format import RowFormat
from spikeloom.hdl.memories.memory import BLOCK_SHAPES, Family, MemoryShape

COUNTED_TOGETHER = 32
"""Rows of which a bitmap of empty rows has one count of the full ones before."""

MOST_RICE_BITS = 12


def rice_bits(values: npt.NDArray[np.int64]) -> int:
    """All values in the best Rice code: the high part in unary, so many low bits as they are."""
    return min(int(((values >> low) + 1 + low).sum()) for low in range(MOST_RICE_BITS))


def huffman_bits(values: npt.NDArray[np.int64]) -> int:
    """All values in a Huffman code of their own; the table apart."""
    counts = list(Counter(values.tolist()).values())
    heapq.heapify(counts)
    total = sum(counts) if len(counts) == 1 else 0
    while len(counts) > 1:
        both = heapq.heappop(counts) + heapq.heappop(counts)
        total += both
        heapq.heappush(counts, both)
    return total


def entropy_bits(values: npt.NDArray[np.generic]) -> float:
    """All values at their empirical entropy."""
    _, counts = np.unique(values, return_counts=True)
    return float(-(counts * np.log2(counts / counts.sum())).sum())


def coded(weights: RowWeights, form: RowFormat) -> Mapping[str, float]:
    """The bits of gaps and weights of all synapses in codes of variable length."""
    gaps, codes = gaps_of(weights, form.sections), weights.code
    return {
        "Rice": rice_bits(gaps) + form.code_bits * len(codes),
        "Huffman": huffman_bits(gaps) + huffman_bits(codes),
        "rANS": entropy_bits(gaps) + entropy_bits(codes),
    }


def without_empty_rows(form: RowFormat, weights: RowWeights, family: Family) -> list[MemoryShape]:
    """The directory of the rows that have synapses, and the bitmap of all, with its counts."""
    full = max(1, int(np.count_nonzero(weights.lengths)))
    words = -(-form.rows // COUNTED_TOGETHER)
    return [
        MemoryShape(family, -(-full // form.group), form.directory_bits, logic_luts=form.logic_luts),
        MemoryShape(family, words, COUNTED_TOGETHER + full.bit_length(), logic_luts=form.logic_luts),
    ]


def rows_of_table(plan: Plan, name: str) -> list[str]:
    """A line for each engine with compressed rows."""
    lines = []
    orders = engine_orders(plan.network, plan.folding)
    bits_of_block = max(depth * width for depth, width in BLOCK_SHAPES[plan.family])
    for instance, engine in zip(plan.engines, plan.folding.engines, strict=True):
        form = instance.form.rows
        if not isinstance(form, RowFormat) or form.uniform:
            continue
        weights, _ = EngineWeights(engine.heard(plan.network), orders).rows
        shapes = form.memories(plan.family)
        directory, entries = shapes["rows"], shapes["entries"]
        kept = without_empty_rows(form, weights, plan.family)
        count = len(weights.code)
        bound = sum(layer.entropy_bits for layer in plan.layers if layer.population in engine.populations)
        empty = 1 - np.count_nonzero(weights.lengths) / form.rows

        def figure(bits: float, blocks: int, count: int = count) -> str:
            return f"{bits / count:.1f} ({blocks})"

        cells = [figure(directory.bits + entries.bits, directory.brams + entries.brams)]
        cells.append(figure(sum(s.bits for s in kept) + entries.bits, sum(s.brams for s in kept) + entries.brams))
        for bits in coded(weights, form).values():
            cells.append(figure(directory.bits + bits, directory.brams + -(-int(bits) // bits_of_block)))
        lines.append(
            f"| {name} | {count:,} | {count / plan_cells(plan, engine.populations):.1%} | {empty:.0%} | "
            + " | ".join(cells)
            + f" | {bound / count:.1f} |"
        )
    return lines


def plan_cells(plan: Plan, populations: tuple[str, ...]) -> int:
    """Weights of the populations, zeros among them."""
    return sum(layer.cells for layer in plan.layers if layer.population in populations)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, metavar="NETWORK.nir")
    parser.add_argument("--calibration", type=Path, required=True, help="an .npz with `spikes`")
    parser.add_argument("--samples", type=int, default=500, help="how many of them")
    parser.add_argument("--sparsity", type=float, nargs="+", default=(0.9, 0.97, 0.98))
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--family", choices=[family.value for family in Family], nargs="+", default=("ice40", "ecp5"))
    options = parser.parse_args()
    source = read_nir(options.network)
    with np.load(options.calibration) as data:
        spikes = data["spikes"][: options.samples]
    print("| network | synapses | density | empty rows | built | empty rows apart | Rice | Huffman | rANS | bound |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for sparsity in options.sparsity:
        recipe = Recipe(method="osbc", sparsity=sparsity, bits=options.bits)
        network, _ = compress(source, recipe, spikes)
        for family in options.family:
            plan = make_plan(network, family, default_folding(network))
            for line in rows_of_table(plan, f"{options.network.stem} {sparsity:.0%}, {family}"):
                print(line, flush=True)


if __name__ == "__main__":
    main()
