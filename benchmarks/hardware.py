"""What the hardware takes and how fast it is, against its goals and published work: the real tools, real activity.

    python benchmarks/hardware.py --output FOLDER --idx MNIST [--front] [--only ROW ...] [--resume] [--seed 1]
        [--docs docs]
    python benchmarks/hardware.py --output FOLDER --mnist NET.nir --mnist-data TEST.npz
        [--mnist16 NET.nir --mnist16-data TEST.npz] [--nmnist NET.nir --nmnist-data TEST.npz] [--front]
        [--only ROW ...] [--seed 1] [--docs docs]
    python benchmarks/hardware.py --output FOLDER --table [--docs docs]

MNIST is the folder of MNIST's IDX files, from which the networks are trained, compressed and trained on; in their place
integer networks may be given, as `spikeloom compress` writes them: `--mnist` 784-128-10, `--mnist16` 256-128-10 for
images of 16 x 16 pixels, `--nmnist` 2312-512-10 for N-MNIST's recordings in steps of 1 ms, with spikes [samples, steps,
inputs] and labels. Rows whose files are not there are skipped, and said to be. Networks that there is no data for have
random weights and inputs, and say so.

A core alone is synthesised, placed and routed with its ports on any pins; a whole design is what `spikeloom compile`
builds. Cycles per step are the cycles of a sample alone on the core, from its first token in to its last out, divided
by its steps: of the exact model (`spikeloom.compiler.cycles`), checked against the simulated hardware, or of the latter
where there is no model. Placement starts from one seed, except where a row says otherwise. FOLDER keeps designs under a
hash of their RTLIL, so that an interrupted run goes on, and what became of every row, so that `--table` needs no tool
and `--resume` measures only rows that were not yet measured on these sources: a table may be made row by row.
A row that failed or was skipped keeps no older figure, and rows of different commits make no table. `hardware.json` and
`benchmarks_hardware.md` are written there, and the latter to `--docs` too, with the plot.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from measuring.bench import Bench
from measuring.foldings import FRONT
from measuring.goals import ROWS, verdict
from measuring.prepare import prepare
from measuring.rows import MEASURES, measure_rows, read_results, require_one_commit
from measuring.table import write_tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--idx", type=Path, metavar="MNIST", help="MNIST's IDX files, to train the networks from")
    parser.add_argument("--epochs", type=int, default=6, help="of the training from --idx")
    parser.add_argument("--finetune-epochs", type=int, default=10, help="of the training after pruning")
    for name in ("mnist", "mnist16", "nmnist"):
        parser.add_argument(f"--{name}", type=Path, metavar="NET.nir")
    for name in ("mnist-data", "mnist16-data", "nmnist-data"):
        parser.add_argument(f"--{name}", type=Path, metavar="TEST.npz")
    parser.add_argument("--only", nargs="+", choices=MEASURES, metavar="ROW", help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--front", action="store_true", help="measure every point of the folding axis too")
    parser.add_argument("--resume", action="store_true", help="leave out rows that were measured on these sources")
    parser.add_argument("--table", action="store_true", help="measure nothing, write the table of earlier runs")
    parser.add_argument("--seed", type=int, default=1, help="of the placement")
    parser.add_argument("--docs", type=Path, metavar="FOLDER", help="where the page and its plot go too")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*created but never used")
    options.output.mkdir(parents=True, exist_ok=True)
    if not options.table:
        ids = [row.id for row in ROWS] + [id for id in FRONT if id.startswith("front-") and options.front]
        if options.idx is not None:
            prepare(options, options.output / "networks")
        measure_rows(Bench(options, options.output), options.only or ids)
    results = read_results(options.output)
    require_one_commit(results)
    write_tables(results, options.output, options.docs)
    for row in ROWS:
        for goal in row.goals if row.id in results and results[row.id].measured else ():
            print(f"{row.id}: {verdict(goal, results[row.id].figures)}")


if __name__ == "__main__":
    main()
