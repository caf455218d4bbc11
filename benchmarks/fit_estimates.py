"""Fits the resource and timing estimates (spikeloom.compiler.estimate) to random designs built with the real tools.

    python benchmarks/fit_estimates.py --cache FOLDER [--ice40 33] [--ecp5 33] [--routed 11] [--cores 0] [--kinds K ...]
                                       [--write]

Every design is random in its sizes, density, weights and neurons; its kind is taken in turn: shared and separate
engines, lanes, vector, slotted and wide engines, maps with taps and pools, bitmap rows, weights in SPRAM with their
loader, encoders and decoders in the host link, engines with registers on their way. Networks have about 100 to 300,000
synapses. The core alone is synthesised, flat and module by module, or where the link is what it is about the whole
design, and some of the latter are placed and routed: half a minute to five minutes each; with `--cores` some cores
alone are, too, whose clock no link bounds. Figures are kept in FOLDER under a hash of the RTLIL, the device and the
tools' versions, so that a second run measures only what has changed. Printed are the errors on the designs that the
factors were fitted to, and on those that they were not (each fifth in turn); with `--write` the factors fitted to all
of them, none below 0, become `compiler/estimate/coefficients.json`. With `--kinds` designs of these are drawn, and only
parts without a price, and paths without a delay, get one. A part of which nothing was measured has no factor, and an
estimate with such a part says that it is a guess.

    python benchmarks/fit_estimates.py --built [--mnist NETWORK.nir] [--build NAME ...] [--anew FAMILY ...] [--write]

takes no tool and a minute: what has no factor gets that of the designs whose figures are in
`benchmarks/fitting/built.json`; in the families of `--anew` all factors move, delays freely and prices a little.
`--build` builds designs of these names (`fitting/built.py`) first and keeps their figures there, of one that ends in
`!` without placing it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from fitting.built import build, designs_of, errors_of_built, fit_built, held_out_of_built, read_built, write_built
from fitting.fit import errors_of, fit_family, held_out
from fitting.measurements import fmax_of, measure_all
from fitting.trials import Trial, random_trials
from measuring.rows import commit_of_sources
from spikeloom.compiler.estimate.estimate import COEFFICIENTS

COEFFICIENTS_FILE = Path(__file__).resolve().parent.parent / "compiler" / "estimate" / COEFFICIENTS

OTHERS = {"ice40": {"up": "up5k", "u4": "u4k", "lp": "lp8k"}, "ecp5": {"lfe5um5g": "lfe5um5g-45f"}}
"""Devices whose logic is slower or faster than that of the family's own, by how their ids begin."""


def measure_slower(
    trials: Sequence[Trial], family: str, known: dict[str, float], options: argparse.Namespace
) -> dict[str, float]:
    """How much longer the period is on the other kinds of a family's devices, by how their ids begin; what is `known`
    where no other device is asked for."""
    placeable = [trial for trial in trials if trial.placeable][: options.others]
    if not placeable:
        return known
    slower = {}
    for prefix, device in OTHERS[family].items():
        ratios = [
            fmax_of(trial, trial.device.id, options.cache) / fmax_of(trial, device, options.cache)
            for trial in placeable
        ]
        slower[prefix] = round(float(np.mean(ratios)), 3)
    return slower


def _print(title: str, errors: Mapping[str, Sequence[float]]) -> None:
    print(f"\n{title}\n| figure | designs | root mean square | largest |\n|---|---|---|---|")
    for name, values in errors.items():
        if values:
            size = np.abs(values)
            print(f"| {name} | {len(values)} | {np.sqrt((size**2).mean()):.1%} | {size.max():.1%} |")


def fit_to_built(options: argparse.Namespace) -> None:
    """Prices moved by the designs whose figures are kept, and their errors on these and held out."""
    known = read_built()
    for name in options.build:
        known[name.rstrip("! ")] = build(name.rstrip("! "), commit_of_sources(), placed=not name.endswith("!"))
        write_built(known)
    coefficients = json.loads(COEFFICIENTS_FILE.read_text(encoding="utf-8"))
    for family, factors in coefficients.items():
        designs, anew = designs_of(known, family, options.mnist), family in options.anew
        fitted = fit_built(known, designs, factors, anew=anew)
        _print(f"{family}, the designs that the factors were fitted to", errors_of_built(known, designs, fitted))
        _print(f"{family}, held out", held_out_of_built(known, designs, factors, anew=anew))
        coefficients[family] = fitted
    if options.write:
        COEFFICIENTS_FILE.write_text(json.dumps(coefficients, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, help="where measurements are kept")
    parser.add_argument("--built", action="store_true", help="fit to the designs of fitting/built.json")
    parser.add_argument("--build", nargs="+", default=(), metavar="NAME", help="build these first, and keep them there")
    parser.add_argument("--mnist", type=Path, help="the network of the rows of benchmarks/hardware.py among them")
    parser.add_argument("--anew", nargs="+", default=(), metavar="FAMILY", help="all factors of these families")
    parser.add_argument("--ice40", type=int, default=33, help="designs for the iCE40; 0 leaves its factors as they are")
    parser.add_argument("--ecp5", type=int, default=33, help="designs for the ECP5")
    parser.add_argument("--routed", type=int, default=11, help="how many of each are placed and routed")
    parser.add_argument("--cores", type=int, default=0, help="how many cores of each are placed alone")
    parser.add_argument("--others", type=int, default=1, help="how many of them on the family's other devices too")
    parser.add_argument(
        "--kinds", nargs="+", default=(), help="designs of these kinds alone, and prices of parts without one alone"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--write", action="store_true", help="write the coefficients into the package")
    options = parser.parse_args()
    if options.built:
        fit_to_built(options)
        return
    if options.cache is None:
        parser.error("--cache says where measurements are kept")
    options.cache.mkdir(parents=True, exist_ok=True)
    coefficients = json.loads(COEFFICIENTS_FILE.read_text(encoding="utf-8")) if COEFFICIENTS_FILE.is_file() else {}
    for family in ("ice40", "ecp5"):
        trials = random_trials(family, getattr(options, family), options.kinds)
        if not trials:
            continue
        results = measure_all(trials, options)
        known = coefficients.get(family, {})
        slower = known["slower"] if options.kinds else measure_slower(trials, family, known.get("slower", {}), options)
        fixed = known if options.kinds else None
        factors = fit_family(results, fixed) | {"slower": slower}
        _print(f"{family}, the designs that the factors were fitted to", errors_of(results, factors))
        _print(f"{family}, held out", held_out(results, slower, fixed))
        coefficients[family] = factors
    if options.write:
        COEFFICIENTS_FILE.write_text(json.dumps(coefficients, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
