"""A network from whatever file holds it: NIR, quantised weights as `.npz`, or a state dict of torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..ir.network import Network


def read_model(path: str | Path, *, real: bool = False, **conventions: Any) -> Network:
    """The network in `path`: quantised weights by `read_weights`, files of torch by `read_state_dict`, anything else by
    `read_nir`, whose errors these are.

    With `real`, weights that are quantised already come as the float network that they stand for.
    """
    from ..frontends.snntorch.checkpoint import is_checkpoint
    from ..frontends.weights import holds_weights, read_weights

    if is_checkpoint(Path(path)):
        from ..frontends.snntorch.frontend import require_torch

        require_torch()
        from ..frontends.snntorch.state_dict import read_state_dict

        return read_state_dict(Path(path), **conventions)
    if Path(path).suffix != ".nir" and holds_weights(Path(path)):
        from ..lowering.quantise import quantise_codes

        network, codes = read_weights(Path(path), **conventions)
        return network if real else quantise_codes(network, codes)
    from ..frontends.nir.reader import read_nir

    return read_nir(path, **conventions)
