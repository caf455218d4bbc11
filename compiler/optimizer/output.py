"""A search's result on disk: a build folder of the selected candidate, with the search beside the build."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...boards.boards import Board
from ...boards.devices import FAMILIES
from ..data.samples import Samples
from ..flow.compile import compile_network
from ..flow.facts import Step
from ..flow.options import CompileOptions, silent
from ..frontends.nir.writer import write_nir
from ..output.build_folder import SOURCE, BuildFolder, load_build_folder, staged, write_json, write_manifest
from .fit import PLACEMENT_SEED
from .result import FitResult

FIT = "fit.json"
FRONT = "pareto.svg"


def write_result(
    result: FitResult,
    output: Path,
    *,
    native: bool = False,
    inputs: Mapping[str, Path] | None = None,
    conventions: Mapping[str, Any] | None = None,
    force: bool = False,
    step: Step = silent,
) -> BuildFolder:
    """Write the folder `output`, which appears complete or not at all.

    It is what `compile_network` makes of the selected network and folding, with the original as `source.nir`, and holds
    `fit.json` (`FitResult.data`) and `pareto.svg`. For a target that is only synthesised there is no bitstream.
    `inputs` and `conventions` are as for `compile_network`.
    """
    samples = None if result.calibration is None else Samples(spikes=result.calibration)
    with staged(output, force=force) as folder:
        built = compile_network(
            result.network,
            folder / "build",
            _options(result, native),
            samples=samples,
            conventions=conventions,
            step=step,
        )
        for path in sorted(built.path.iterdir()):
            path.rename(folder / path.name)
        built.path.rmdir()
        write_nir(result.original, folder / SOURCE)
        write_json(folder / FIT, json.loads(json.dumps(result.data())))
        (folder / FRONT).write_text(result.svg(), encoding="utf-8")
        write_manifest(folder, inputs=inputs or {}, options=built.options, tools=built.manifest["tools"])
    return load_build_folder(output)


def _options(result: FitResult, native: bool) -> CompileOptions:
    common: dict[str, Any] = {
        "folding": result.folding,
        "fast": False,
        "weights": "bram",
        "seed": PLACEMENT_SEED,
        "native_tools": native,
    }
    place = result.target.place
    if place is None:
        return CompileOptions(device=FAMILIES[result.target.family.value], verilog_only=True, **common)
    if isinstance(place, Board):
        return CompileOptions(board=place.id, **common)
    return CompileOptions(device=place.id, **common)
