"""Compressed rows hold exactly the weights, in few bits."""

from __future__ import annotations

import numpy as np
import pytest
from decoding import decode_rows
from networks import random_codes
from spikeloom.compiler.encodings.row_weights import RowWeights, added_up
from spikeloom.compiler.encodings.rows import encode_rows
from spikeloom.hdl.engines.row_format import RowFormat
from spikeloom.hdl.memories.memory import Family


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("density", [0.0, 0.02, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (37, 129)])
def test_rows_decode_to_the_weights(shape: tuple[int, int], density: float, family: Family) -> None:
    codes = random_codes(np.random.default_rng(1), *shape, bits=5, density=density)
    form, contents = encode_rows(RowWeights.of(codes), 5, family)
    assert np.array_equal(decode_rows(form, contents), codes)
    assert len(contents.rows) == (0 if form.uniform else -(-shape[0] // form.group))
    assert all(word < 1 << form.directory_bits for word in contents.rows)
    assert all(word < 1 << form.entry_bits for word in contents.entries)


def test_a_dense_layer_stores_no_index() -> None:
    codes = random_codes(np.random.default_rng(1), 64, 64, density=1.0)
    form, _ = encode_rows(RowWeights.of(codes), 4, Family.ICE40)
    assert (form.index_bits, form.entries) == (0, codes.size)


def test_a_sparse_layer_stores_few_entries_that_are_not_synapses() -> None:
    codes = random_codes(np.random.default_rng(1), 784, 128, density=0.05)
    form, _ = encode_rows(RowWeights.of(codes), 4, Family.ICE40)
    assert form.entries <= 1.1 * np.count_nonzero(codes)


def test_gaps_of_every_width_are_bridged() -> None:
    """Weights of two levels, which leave no code for a bridge: an index of all ones is one."""
    rng = np.random.default_rng(6)
    codes = rng.choice([-1, 1], (20, 250)) * (rng.random((20, 250)) < 0.15)
    form, contents = encode_rows(RowWeights.of(codes), 4, Family.ICE40)
    assert isinstance(form, RowFormat) and form.escapes and form.entries > np.count_nonzero(codes)
    assert np.array_equal(decode_rows(form, contents), codes)


def test_gaps_wider_than_the_index_are_bridged() -> None:
    codes = np.zeros((400, 1000), np.int64)
    codes[:, 0], codes[:, 1] = 1, 2
    codes[7, 999] = -3
    form, contents = encode_rows(RowWeights.of(codes), 3, Family.ICE40)
    assert form.index_bits < 10
    assert np.array_equal(decode_rows(form, contents), codes)


def test_weights_of_several_parts_are_added_up_in_the_order_of_rows() -> None:
    """Those that cancel are none."""
    rng = np.random.default_rng(2)
    parts = [random_codes(rng, 9, 7), random_codes(rng, 9, 7)]
    parts[1][3] = -parts[0][3]
    found = [RowWeights.of(part) for part in parts]
    shuffled = [rng.permutation(len(part.code)) for part in found]
    axes = [[getattr(p, axis)[s] for p, s in zip(found, shuffled, strict=True)] for axis in ("row", "post", "code")]
    together = added_up((9, 7), *axes)
    assert np.array_equal(together.dense(), sum(parts)) and not together.lengths[3]
    assert np.all(np.diff(together.row * 7 + together.post) > 0) and np.all(together.code != 0)
    order = rng.permutation(7)[:4]
    assert np.array_equal(together.of_posts(order).dense(), sum(parts)[:, order])


def test_sums_are_as_wide_as_they_can_become() -> None:
    weights = RowWeights.of(np.array([[3, -1], [5, 0], [0, -8]]))
    assert weights.sum_bits(1) == 5  # 0 to 8 and -9 to 0
    assert weights.sum_bits(np.array([1, 1, 0])) == 5 and weights.sum_bits(np.array([1, 0, 0])) == 3
