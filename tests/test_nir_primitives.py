"""Every primitive of the installed NIR is read, or refused by name with the reason; the documentation says which."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from spikeloom.compiler.frontends.nir.graph import FIELDS
from spikeloom.compiler.frontends.nir.layer_nodes import OWN_TYPES
from spikeloom.compiler.frontends.nir.primitives import READ, REFUSED, table
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.hdl.errors import ModelError

ROOT = Path(__file__).resolve().parent.parent
ONES = np.ones(2)


def _primitives() -> set[str]:
    classes = [value for value in vars(nir.ir).values() if isinstance(value, type)]
    return {c.__name__ for c in classes if issubclass(c, nir.NIRNode) and c is not nir.NIRNode}


def test_there_is_a_word_for_every_primitive_and_for_no_other() -> None:
    assert not set(READ) & set(REFUSED)
    assert {*READ, *REFUSED} == _primitives()
    assert set(FIELDS) - set(OWN_TYPES) == set(READ) - {"NIRGraph"}


def test_the_documentation_has_the_table() -> None:
    text = (ROOT / "docs" / "nir.md").read_text()
    found = re.search(r"<!-- primitives: [^\n]*-->\n(.*)\n<!-- end of primitives -->", text, re.DOTALL)
    assert found is not None and found[1] == table()


NODES: dict[str, nir.NIRNode] = {
    "AvgPool2d": nir.AvgPool2d(np.ones(2, int), np.ones(2, int), np.zeros(2, int)),
    "Conv1d": nir.Conv1d(3, np.ones((2, 3, 1)), 1, 0, 1, 1, np.zeros(2)),
    "Conv2d": nir.Conv2d((3, 3), np.ones((2, 3, 1, 1)), 1, 0, 1, 1, np.zeros(2)),
    "I": nir.I(ONES),
    "Scale": nir.Scale(ONES),
    "SumPool2d": nir.SumPool2d(np.ones(2, int), np.ones(2, int), np.zeros(2, int)),
    "Threshold": nir.Threshold(ONES),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_read_is_refused_with_its_reason(tmp_path: Path, kind: str) -> None:
    lif = nir.LIF(tau=ONES, r=ONES, v_leak=0 * ONES, v_threshold=ONES)
    nodes: dict[str, Any] = {
        "in": nir.Input(np.array([2])),
        "x": NODES[kind],
        "lif": lif,
        "out": nir.Output(np.array([2])),
    }
    edges = [("in", "x"), ("x", "lif"), ("lif", "out")]
    nir.write(tmp_path / "a.nir", nir.NIRGraph(nodes, edges, type_check=False), compression=None)
    with pytest.raises(ModelError, match=f"node 'x' is a '{kind}': {re.escape(REFUSED[kind])}"):
        read_nir(tmp_path / "a.nir", dialect="nir", dt=1e-3)
