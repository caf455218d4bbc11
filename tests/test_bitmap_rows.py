"""Bitmap rows: what they store is what they were given, and a core that reads them does what the reference does, in the
cycles that the model says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from decoding import decode_bitmap, decode_rows
from networks import chain, connect, random_codes, random_spikes
from spikeloom.compiler.cycles.count import count_cycles
from spikeloom.compiler.encodings import bitmap as encode_bitmap
from spikeloom.compiler.encodings.bitmap import bitmap_beats, bitmap_contents, bitmap_forms
from spikeloom.compiler.encodings.directory import LEAST_USE
from spikeloom.compiler.encodings.row_weights import RowWeights
from spikeloom.compiler.encodings.rows import encode_rows, row_lengths
from spikeloom.compiler.ir.connectivity import Quantised
from spikeloom.compiler.ir.network import INPUT, Network
from spikeloom.compiler.plan.folding import Folding, pipelined_folding, shared_folding
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.engines.bitmap_format import BitmapContents, BitmapFormat
from spikeloom.hdl.memories.memory import Family
from spikeloom.sim.amaranth_executor import measure_cycles, run_amaranth
from spikeloom.sim.reference import run_reference


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(1, 2), (7, 3), (9, 40), (5, 129)])
def test_every_format_decodes_to_the_weights(
    shape: tuple[int, int], density: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode_bitmap, "LEAST_USE", 0.0)
    codes = random_codes(np.random.default_rng(1), *shape, bits=5, density=density)
    weights = RowWeights.of(codes)
    forms = [form for form, _ in bitmap_forms(weights, 5)]
    assert forms
    for form in forms:
        contents = bitmap_contents(weights, form)
        assert np.array_equal(decode_bitmap(form, contents), codes)
        assert len(contents.rows) == -(-shape[0] // form.group)
        assert len(contents.masks) == shape[0] * form.row_chunks
        assert all(word < 1 << form.directory_bits for word in contents.rows)
        assert all(word < 1 << form.chunk_bits for word in contents.masks)
        assert all(word < 1 << form.entry_bits for word in contents.entries)


def test_few_levels_are_stored_as_their_numbers() -> None:
    codes = np.sign(random_codes(np.random.default_rng(2), 128, 64, bits=4, density=0.5)) * 5
    form, contents = encode_rows(RowWeights.of(codes), 4, Family.ICE40)
    assert isinstance(form, BitmapFormat)
    assert (form.levels, form.entry_bits) == ((-5, 5), 1)
    assert np.array_equal(decode_rows(form, contents), codes)


@pytest.mark.parametrize(("density", "bitmaps"), [(0.05, False), (0.4, True), (1.0, False)])
def test_bitmaps_are_for_medium_density(density: float, bitmaps: bool) -> None:
    codes = random_codes(np.random.default_rng(3), 128, 64, bits=8, density=density)
    form, contents = encode_rows(RowWeights.of(codes), 8, Family.ICE40)
    assert isinstance(form, BitmapFormat) == bitmaps
    assert np.array_equal(decode_rows(form, contents), codes)


def test_empty_chunks_cost_few_cycles() -> None:
    codes = random_codes(np.random.default_rng(4), 60, 100, density=0.3)
    weights = RowWeights.of(codes)
    for form, _ in bitmap_forms(weights, 4):
        beats = bitmap_beats(form, bitmap_contents(weights, form))
        assert np.count_nonzero(codes) <= beats.sum() <= np.count_nonzero(codes) / LEAST_USE


def with_bitmaps(chunk_bits: int) -> Callable[..., tuple[BitmapFormat, BitmapContents]]:
    """In place of `encode_rows`: chunks of at most so many bits, in groups of two where that is possible."""

    def encode(
        weights: RowWeights,
        weight_bits: int,
        family: Family,
        sections: object = None,
        spram: int | None = None,
        *_: object,
        **__: object,
    ) -> tuple[BitmapFormat, BitmapContents]:
        forms = [form for form, _ in bitmap_forms(weights, weight_bits) if form.chunk_bits <= chunk_bits]
        form = max(forms, key=lambda form: (form.chunk_bits, form.group == 2, form.align))
        return replace(form, first_spram=spram), bitmap_contents(weights, form)

    return encode


def network_of(density: float, sizes: tuple[int, int, int]) -> Network:
    network = chain(5, sizes)
    rng = np.random.default_rng(6)
    names = (INPUT, "p0", "p1")
    projections = (
        connect(rng, *names[n : n + 2], sizes[n : n + 2], density=density)  # type: ignore[arg-type]
        for n in range(2)
    )
    return replace(network, projections=tuple(projections))


def use_bitmaps(monkeypatch: pytest.MonkeyPatch, chunk_bits: int) -> None:
    """Let every plan have bitmaps in chunks of so many bits."""
    monkeypatch.setattr(encode_bitmap, "LEAST_USE", 0.0)
    for kind in ("sparse", "lanes"):
        monkeypatch.setattr(f"spikeloom.compiler.plan.{kind}.encode_rows", with_bitmaps(chunk_bits))


def assert_hardware_agrees(network: Network, folding: Folding, family: str, samples: int = 2) -> None:
    made = make_plan(network, family, folding)
    spikes = random_spikes(7, network, samples=samples, steps=3, rate=0.4)
    expected = run_reference(network, spikes, membranes=True)
    for stress in (None, 8):
        got = run_amaranth(made, spikes, membranes=True, stress=stress)
        for name, population in expected.populations.items():
            assert np.array_equal(got.populations[name].spikes, population.spikes), name
            assert np.array_equal(got.populations[name].membranes, population.membranes), name
    trains = expected.trains(spikes)
    assert count_cycles(made, trains) == measure_cycles(made, spikes)


@pytest.mark.parametrize(
    ("chunk_bits", "density", "lanes", "family"),
    [(2, 0.8, 1, "ice40"), (5, 0.3, 1, "ecp5"), (32, 0.5, 1, "ice40"), (5, 0.5, 3, "ecp5")],
)
def test_cores_with_bitmaps(
    chunk_bits: int, density: float, lanes: int, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_bitmaps(monkeypatch, chunk_bits)
    network = network_of(density, (19, 21, 9))
    assert_hardware_agrees(network, pipelined_folding(network, lanes), family)


def test_codes_in_spram(monkeypatch: pytest.MonkeyPatch) -> None:
    use_bitmaps(monkeypatch, 4)
    network = network_of(0.5, (13, 9, 7))
    engines = (engine_folding(populations=("p0",), spram=True), engine_folding(populations=("p1",)))
    assert_hardware_agrees(network, Folding(engines=engines), "ice40")


def test_several_populations_share_bitmaps_where_all_rows_begin_at_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    use_bitmaps(monkeypatch, 4)
    network = network_of(0.5, (13, 9, 7))
    beside = connect(np.random.default_rng(8), INPUT, "p1", (13, 7), density=0.5)
    network = replace(network, projections=(network.projections[0], beside))
    assert_hardware_agrees(network, shared_folding(network), "ice40")


def test_the_compiler_chooses_them_by_itself() -> None:
    network = network_of(0.4, (64, 64, 5))
    made = make_plan(network, "ice40", pipelined_folding(network))
    first = made.engines[0]
    assert isinstance(first.form.rows, BitmapFormat)  # type: ignore[union-attr]
    assert {memory.role for memory in made.memories if memory.engine == 0} >= {"rows", "masks", "entries"}
    assert_hardware_agrees(network, pipelined_folding(network), "ice40", samples=1)


def test_rows_without_synapses() -> None:
    network = network_of(0.5, (64, 64, 5))
    projection = network.projections[0]
    codes = projection.weights.codes.copy()  # type: ignore[union-attr]
    codes[::9] = 0
    codes[5, 20:] = 0
    weights = Quantised(codes=codes, bits=4)
    emptied = replace(projection, connectivity=replace(projection.connectivity, weights=weights))  # type: ignore[type-var]
    network = replace(network, projections=(emptied, network.projections[1]))
    form, contents = encode_rows(RowWeights.of(codes), 4, Family.ICE40)
    assert isinstance(form, BitmapFormat)
    assert row_lengths(form, contents)[0] == form.row_chunks
    assert_hardware_agrees(network, pipelined_folding(network), "ice40", samples=1)
