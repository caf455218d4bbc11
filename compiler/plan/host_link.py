"""The host link that a network's design has."""

from __future__ import annotations

from dataclasses import replace

from ...hdl.images.coding import ImageCoding
from ...hdl.link.linked_core import link_memories
from ...hdl.link.protocol import LinkFormat
from ...hdl.memories.memory import DISTRIBUTED_DEPTH, Family
from ...hdl.resources import Resources
from ..ir.network import Network
from .plan import Plan
from .readout import readout_of


def link_of(network: Network, coding: ImageCoding | None = None) -> LinkFormat:
    """The link of a network that takes events and gives spikes or readings, or images and classes by a `coding`."""
    outputs = network.size_of(network.output)
    return LinkFormat(
        inputs=network.input_size,
        outputs=outputs,
        coding=coding,
        readout=readout_of(network),
        most_spikes=network.population(network.output).max_spikes,
    )


SCARCE_CELLS = 1280
"""On a device of no more logic cells a link is not packed unless it is asked for: that takes up to 75 of them."""


def link_for(
    network: Network, capacity: Resources, coding: ImageCoding | None = None, packed: bool | None = None
) -> LinkFormat:
    """The link of a network on a device of that capacity.

    Unless `packed` says so, it is packed where that pays, for images and addresses of two bytes, and cells are there.
    """
    link = link_of(network, coding)
    if packed is None:
        packed = (coding is not None or link.input_bytes > 1) and capacity.lcs > SCARCE_CELLS
    return replace(link, packed=packed)


def with_room(link: LinkFormat, plan: Plan, capacity: Resources) -> LinkFormat:
    """The link beside a core: its queue holds so few words that an ECP5 needs no block RAM for it where the block is
    just what is lacking. Frames are smaller then, and more."""
    if link.coding is not None or plan.family is not Family.ECP5 or memory_needs(plan, link).fits(capacity):
        return link
    small = replace(link, fifo_words=DISTRIBUTED_DEPTH)
    return small if memory_needs(plan, small).fits(capacity) else link


def memory_needs(plan: Plan, link: LinkFormat | None) -> Resources:
    """The block RAMs and SPRAMs of a design, exactly: of its core, and of its host link if it has one."""
    around = [] if link is None else link_memories(link, plan.family, exchanged=plan.headroom is not None).values()
    return replace(plan.needs, brams=plan.brams + sum(shape.brams for shape in around))
