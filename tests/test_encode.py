"""Compressed rows hold exactly the weights, in few bits."""

from __future__ import annotations

import numpy as np
import pytest
from decoding import decode_rows
from networks import random_codes
from spikeloom.compiler.encodings.rows import encode_rows
from spikeloom.hdl.engines.row_format import RowFormat
from spikeloom.hdl.memories.memory import Family


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("density", [0.0, 0.02, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (37, 129)])
def test_rows_decode_to_the_weights(shape: tuple[int, int], density: float, family: Family) -> None:
    codes = random_codes(np.random.default_rng(1), *shape, bits=5, density=density)
    form, contents = encode_rows(codes, 5, family)
    assert np.array_equal(decode_rows(form, contents), codes)
    assert len(contents.rows) == (0 if form.uniform else -(-shape[0] // form.group))
    assert all(word < 1 << form.directory_bits for word in contents.rows)
    assert all(word < 1 << form.entry_bits for word in contents.entries)


def test_a_dense_layer_stores_no_index() -> None:
    codes = random_codes(np.random.default_rng(1), 64, 64, density=1.0)
    form, _ = encode_rows(codes, 4, Family.ICE40)
    assert (form.index_bits, form.entries) == (0, codes.size)


def test_a_sparse_layer_stores_few_entries_that_are_not_synapses() -> None:
    codes = random_codes(np.random.default_rng(1), 784, 128, density=0.05)
    form, _ = encode_rows(codes, 4, Family.ICE40)
    assert form.entries <= 1.1 * np.count_nonzero(codes)


def test_gaps_of_every_width_are_bridged() -> None:
    """Weights of two levels, which leave no code for a bridge: an index of all ones is one."""
    rng = np.random.default_rng(6)
    codes = rng.choice([-1, 1], (20, 250)) * (rng.random((20, 250)) < 0.15)
    form, contents = encode_rows(codes, 4, Family.ICE40)
    assert isinstance(form, RowFormat) and form.escapes and form.entries > np.count_nonzero(codes)
    assert np.array_equal(decode_rows(form, contents), codes)


def test_gaps_wider_than_the_index_are_bridged() -> None:
    codes = np.zeros((400, 1000), np.int64)
    codes[:, 0], codes[:, 1] = 1, 2
    codes[7, 999] = -3
    form, contents = encode_rows(codes, 3, Family.ICE40)
    assert form.index_bits < 10
    assert np.array_equal(decode_rows(form, contents), codes)
