"""The host link that a network's design has."""

from __future__ import annotations

from dataclasses import replace

from ...hdl.images.coding import ImageCoding
from ...hdl.link.linked_core import link_memories
from ...hdl.link.protocol import LinkFormat
from ...hdl.resources import Resources
from ..ir.network import Network
from .plan import Plan


def link_of(network: Network, coding: ImageCoding | None = None) -> LinkFormat:
    """The link of a network that takes events and gives spikes, or images and classes by a `coding`."""
    return LinkFormat(inputs=network.input_size, outputs=network.size_of(network.output), coding=coding)


def memory_needs(plan: Plan, link: LinkFormat | None) -> Resources:
    """The block RAMs and SPRAMs of a design, exactly: of its core, and of its host link if it has one."""
    around = [] if link is None else link_memories(link, plan.family).values()
    return replace(plan.needs, brams=plan.brams + sum(shape.brams for shape in around))
