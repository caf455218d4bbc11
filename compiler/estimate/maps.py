"""What listening to maps costs, part by part, its memories apart: taps, and pools by maxima."""

from __future__ import annotations

from ...hdl.engines.engine import SparseFormat
from ...hdl.engines.pooling import SpikePoolFormat
from ...hdl.engines.sum_pooling import SumPoolFormat
from ...hdl.engines.tap_format import TapFormat
from ...hdl.streams.tokens import address_bits
from .parts import COMPARE, Parts


def map_parts(parts: Parts, form: SparseFormat) -> None:
    """All that an engine has around its walker and bank because of maps."""
    if form.taps is not None:
        tap_parts(parts, form.taps)
        parts.ff("walker", 3 * address_bits(form.rows.post))
    if form.neurons.touched:
        parts.adder("touched", address_bits(form.neurons.neurons))
        parts.lut("touched", 12 + 2 * address_bits(form.neurons.neurons // form.neurons.touched))
        parts.ff("touched", 2)
    if form.pool is not None:
        _spike_pool_parts(parts, form.pool)
    if form.sums is not None:
        _sum_pool_parts(parts, form.sums)


def tap_parts(parts: Parts, form: TapFormat) -> None:
    """A tap generator (spikeloom.hdl.engines.taps): the place of an event, and the counters over its taps."""
    address, row, post = address_bits(form.addresses), address_bits(form.rows), address_bits(form.post)
    places, jobs = form.place_bits, len(form.jobs)
    parts.ff("taps", 2 * address + 2 * places + row + post + 12 + jobs.bit_length())
    parts.lut("taps", 24 + 2 * places + jobs * COMPARE * (row + post) / 2)
    parts.adder("taps", 2 * row + post)
    for axis in (form.down, form.across):
        if axis.steps:
            parts.adder("taps", axis.width)
            parts.lut("tables", axis.width)
            parts.ff("tables", axis.width)
    if len(form.segments) > 1:
        parts.adder("taps", places)
        parts.lut("taps", (len(form.segments) - 1) * address * COMPARE)
    if form.divides:
        parts.adder("places", places + (2 * places).bit_length())
        parts.lut("places", 4 * places)
        parts.ff("places", 3 * places + (2 * places).bit_length())


def _spike_pool_parts(parts: Parts, form: SpikePoolFormat) -> None:
    """A pool of spikes (spikeloom.hdl.engines.pooling), with its own taps."""
    tap_parts(parts, form.taps)
    word, bits = address_bits(form.windows + form.counts), form.most.bit_length()
    parts.adder("pool", 2 * word + bits * bool(form.counts))
    parts.lut("pool", 14 + 2 * bits)
    parts.ff("pool", address_bits(form.taps.rows) + word + 5 + bits * bool(form.counts))


def _sum_pool_parts(parts: Parts, form: SumPoolFormat) -> None:
    """A pool of sums (spikeloom.hdl.engines.sum_pooling), with the taps of its windows."""
    tap_parts(parts, form.taps)
    place, window = address_bits(form.sums), address_bits(form.windows)
    parts.adder("sums", 2 * place + window + form.sum_bits)
    parts.lut("sums", 20 + place + form.sum_bits * (1 + COMPARE) + address_bits(form.neurons) + form.pooled_bits)
    parts.ff("sums", place + window + 2 * address_bits(form.neurons) + form.weight_bits + form.sum_bits + 9)
