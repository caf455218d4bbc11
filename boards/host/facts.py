"""What a host must know of a build: `link.json` in its folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ...hdl.errors import InputError, OptionError
from ...hdl.images.coding import ImageCoding
from ...hdl.json_files import read_json
from ...hdl.link.protocol import LINK, LinkFormat
from ...hdl.neurons.readout import ReadoutFormat

LINK_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class ClassRule:
    """How a host reads classes off answers that name none (docs/arithmetic.md).

    `by` is "spikes", "first-spike" or one of the readouts by membranes; `classes` joins the outputs to as many groups;
    from `threshold` spikes on a single output says class 1.
    """

    by: str = "spikes"
    classes: int | None = None
    threshold: int | None = None


@dataclass(frozen=True, kw_only=True)
class LinkFacts:
    """What both ends of the line agree on.

    The fields of `LinkFormat`; the largest value `x_max` of an input; how a class is read (`rule`); the line's rate
    `baud` and its bit in `clocks_per_bit` of the clock `clock_hz`, which comes out of the board's `source_hz` and is
    held in reset for `reset_cycles`; after `silent_cycles` without a word a working core counts as hung. `board` is
    None for a bare device, `bitstream` the file that configures the FPGA, and `flash` the whole contents of its flash
    where weights lie there. With `spi` the line is that of a microcontroller, of `baud` bits per second at most.
    """

    schema_version: int
    inputs: int
    outputs: int
    fifo_words: int
    x_max: int
    coding: ImageCoding | None
    readout: ReadoutFormat | None
    identity: int
    most_spikes: int
    rule: ClassRule
    baud: int
    clocks_per_bit: float
    clock_hz: float
    source_hz: float
    reset_cycles: int
    silent_cycles: int
    board: str | None
    device: str
    bitstream: str
    flash: str | None
    packed: bool = False
    spi: bool = False

    @property
    def form(self) -> LinkFormat:
        """The link's format."""
        return LinkFormat(**{field.name: getattr(self, field.name) for field in fields(LinkFormat)})

    def data(self) -> dict[str, Any]:
        """The contents of the file."""
        return asdict(self)


def read_facts(folder: str | Path) -> LinkFacts:
    """The facts of a build folder. Raises InputError where there are none or they are damaged."""
    file = Path(folder) / LINK
    if not Path(folder).is_dir():
        raise InputError(f"a build is a folder: {folder} is none; make one with spikeloom compile")
    if not file.is_file():
        raise InputError(f"a build for a board holds {LINK}: {folder} does not; compile it again, for a board")
    try:
        facts = read_json(file, LinkFacts, LINK, "compile again")
    except OptionError as error:
        raise InputError(f"{LINK} must be intact: {file}: {error}; compile again") from None
    if facts.schema_version != LINK_SCHEMA:
        raise InputError(
            f"the schema_version of {LINK} must be {LINK_SCHEMA}: {file} has {facts.schema_version}; "
            "compile again with this version of Spikeloom"
        )
    sound = 0 < facts.inputs <= 1 << 16 and 0 < facts.outputs <= 1 << 16 and facts.fifo_words >= 4
    counts = facts.most_spikes, facts.baud, facts.clock_hz, facts.clocks_per_bit, facts.silent_cycles
    if not (sound and all(count > 0 for count in counts)):
        raise InputError(f"{LINK} must be of a design that works: {file} is damaged; compile again")
    return facts
