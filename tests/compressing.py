"""`compress_weights` with a recipe's fields as keywords, and those of single populations as mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spikeloom.compiler.compression import one_shot
from spikeloom.compiler.compression.recipe import Override, Recipe
from spikeloom.compiler.ir.network import Network

FIELDS = {"sparsities": "sparsity", "bits": "bits", "scheme": "scheme"}
"""The options that may be given by population, and their fields of `Override`."""


def compress_weights(network: Network, **options: Any) -> Network:
    """Fields of `Recipe` and arguments of `compress_weights`; a pattern may be a pair."""
    names = ("calibration", "distil", "finetune", "progress")
    arguments = {name: options.pop(name) for name in names if name in options}
    own: dict[str, dict[str, Any]] = {}
    for option, field in FIELDS.items():
        if isinstance(options.get(option), Mapping):
            for name, value in options.pop(option).items():
                own.setdefault(name, {})[field] = value
            if option == "bits":
                options["bits"] = None
    if isinstance(options.get("pattern"), tuple):
        options["pattern"] = ":".join(map(str, options["pattern"]))
    recipe = Recipe(**options, overrides={name: Override(**fields) for name, fields in own.items()})
    return one_shot.compress_weights(network, recipe, **arguments)
