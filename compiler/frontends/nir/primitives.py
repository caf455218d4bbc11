"""Every primitive of NIR: how it is read, or why it is not and what to write in its place.

The table in docs/nir.md is made of this (`table`).
"""

from __future__ import annotations

from collections.abc import Mapping

READ: Mapping[str, str] = {
    "Affine": "weights and a bias, before neurons",
    "AvgPool2d": "averages of windows, before or behind weights",
    "Conv1d": "weights and a bias, before neurons",
    "Conv2d": "weights and a bias, before neurons",
    "CubaLI": "neurons with a synaptic current that never fire, as the output; of the dialects that write CubaLIF",
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
    "Scale": "factors of values, before or behind weights; behind a convolution or a pooling one per channel",
    "SumPool2d": "sums of windows, before or behind weights",
    "Threshold": "neurons that forget: a LIF without memory",
}

REFUSED: Mapping[str, str] = {
    "I": "an integrator without a leak and a threshold is no neuron of the IR; end with an LI",
}


def table() -> str:
    """Every primitive, by name, as the rows of the documentation's table."""
    rows = {name: f"| {name} | yes | {how} |" for name, how in READ.items()}
    rows |= {name: f"| {name} | no | {why} |" for name, why in REFUSED.items()}
    return "\n".join(["| node | read | |", "|---|---|---|", *(rows[name] for name in sorted(rows))])
