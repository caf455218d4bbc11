"""What the host of a build must know, and the identity that its design has on the line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ...boards.boards import Board
from ...boards.clock import clocks_per_bit
from ...boards.host.embedded import write_hosts
from ...boards.host.facts import LINK, LINK_SCHEMA, ClassRule, LinkFacts
from ...hdl.link.identity import identity_of
from ...hdl.link.protocol import LinkFormat
from ...hdl.link.spi import FEWEST_CLOCKS
from ..cycles.limits import silent_cycles
from ..output.build_folder import FLASH, WEIGHTS, write_json
from .facts import Design


def named(link: LinkFormat, core: str, weights: bytes = b"") -> LinkFormat:
    """The link with the identity of a design: of its core as RTLIL, of weights in flash, and of the link itself.

    Two builds with one identity answer alike, whatever boards they are for.
    """
    return replace(link, identity=identity_of(core.encode(), weights, repr(link).encode()))


def named_in(folder: Path, link: LinkFormat) -> LinkFormat:
    """The link with the identity of the design whose core, and weights in flash, are in a folder."""
    weights = folder / WEIGHTS
    core = (folder / "core.il").read_text(encoding="utf-8")
    return named(link, core, weights.read_bytes() if weights.exists() else b"")


def facts_of(design: Design, folder: Path) -> LinkFacts:
    """The facts of a design with a bitstream, whose folder they are for."""
    assert design.built is not None and design.device is not None, "a host talks to what was built for a device"
    link, reading, network = design.link, design.lean.whole.reading, design.plan.network
    return LinkFacts(
        schema_version=LINK_SCHEMA,
        **vars(link),
        x_max=network.x_max,
        rule=ClassRule(by=reading.by.value, classes=reading.classes, threshold=reading.threshold),
        baud=design.baud,
        clocks_per_bit=FEWEST_CLOCKS if design.spi else float(clocks_per_bit(design.clock.hz, design.baud)),
        clock_hz=design.clock.hz,
        source_hz=design.target.source_hz if isinstance(design.target, Board) else design.clock.hz,
        reset_cycles=design.clock.reset_cycles,
        silent_cycles=silent_cycles(network) * (1 if link.coding is None else link.coding.steps),
        board=design.target.id if isinstance(design.target, Board) else None,
        device=design.device.id,
        bitstream=design.built.bitstream.name,
        flash=FLASH if (folder / FLASH).exists() else None,
        spi=design.spi,
    )


def write_facts(design: Design, folder: Path) -> None:
    """Write what hosts must know of a design with a bitstream, for those of ours and of microcontrollers."""
    facts = facts_of(design, folder)
    write_json(folder / LINK, facts.data())
    write_hosts(facts, folder)
