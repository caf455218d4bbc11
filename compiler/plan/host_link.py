"""The host link that a network's design has."""

from __future__ import annotations

from ...hdl.images.coding import ImageCoding
from ...hdl.link.protocol import LinkFormat
from ..ir.network import Network


def link_of(network: Network, coding: ImageCoding | None = None) -> LinkFormat:
    """The link of a network that takes events and gives spikes, or images and classes by a `coding`."""
    return LinkFormat(inputs=network.input_size, outputs=network.size_of(network.output), coding=coding)
