"""Every primitive of NIR: how it is read, or why it is not and what to write in its place.

The table in docs/nir.md is made of this (`table`).
"""

from __future__ import annotations

from collections.abc import Mapping

READ: Mapping[str, str] = {
    "Affine": "weights and a bias, before neurons",
    "CubaLIF": "neurons with a synaptic current, as their dialect has them",
    "Delay": "delays of inputs or outputs of a layer, in whole steps",
    "Flatten": "keeps the order of values",
    "IF": "neurons",
    "Input": "one, the network's",
    "LI": "neurons that never fire, as the output",
    "LIF": "neurons",
    "Linear": "weights, before neurons",
    "NIRGraph": "a graph within a graph becomes part of it",
    "Output": "one, behind neurons",
}

_UNROLLED = "this front end has no convolutions and pooling yet; write the Linear that does the same"

REFUSED: Mapping[str, str] = {
    "AvgPool2d": _UNROLLED,
    "Conv1d": _UNROLLED,
    "Conv2d": _UNROLLED,
    "CubaLI": "the IR has no readout with a synaptic current; end with an LI, or with a CubaLIF that fires",
    "I": "an integrator without a leak and a threshold is no neuron of the IR; end with an LI",
    "Scale": "a factor for each value; multiply it into the weights of the layer behind or before it",
    "SumPool2d": _UNROLLED,
    "Threshold": "neurons have a membrane; write an IF, LIF or CubaLIF with that threshold",
}


def table() -> str:
    """Every primitive, by name, as the rows of the documentation's table."""
    rows = {name: f"| {name} | yes | {how} |" for name, how in READ.items()}
    rows |= {name: f"| {name} | no | {why} |" for name, why in REFUSED.items()}
    return "\n".join(["| node | read | |", "|---|---|---|", *(rows[name] for name in sorted(rows))])
