"""Hosts that are microcontrollers: a C header and a MicroPython module for one build, made of its link's facts."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from ...hdl.link.protocol import CRC_BYTES, longest_content
from ...hdl.link.spi import FEWEST_CLOCKS
from .facts import LinkFacts

HEADER = "host.h"
MODULE = "spikeloom_host.py"
"""What a build folder calls them."""


def write_hosts(facts: LinkFacts, folder: Path) -> None:
    """Write both into a folder."""
    numbers = _numbers(facts)
    title = f"The host's side of the design {facts.identity:04x}, made by spikeloom compile"
    texts = {name: files(__package__).joinpath(f"{name}.in").read_text(encoding="ascii") for name in (HEADER, MODULE)}
    defines = "".join(f"#define SPIKELOOM_{name} {number}\n" for name, number in numbers.items())
    headers = "".join(f"#include <{name}.h>\n" for name in ("stddef", "stdint", "string"))
    guard = f"#ifndef SPIKELOOM_HOST_H\n#define SPIKELOOM_HOST_H\n\n{headers}\n"
    constants = "".join(f"{name} = {number}\n" for name, number in numbers.items())
    (folder / HEADER).write_text(f"/* {title}. */\n\n{guard}{defines}\n{texts[HEADER]}", encoding="ascii")
    (folder / MODULE).write_text(f"# {title}.\n\n{constants}\n{texts[MODULE]}", encoding="ascii")


def _numbers(facts: LinkFacts) -> dict[str, int]:
    """What is different from build to build, by name."""
    form, coding, readout, rule = facts.form, facts.coding, facts.readout, facts.rule
    by = "spikes" if coding is not None and readout is None else rule.by  # images bring spikes without their steps
    named = coding is not None and coding.decoder.names_class if readout is None else readout.names_class
    return {
        "IDENTITY": facts.identity,
        "BAUD": facts.baud,
        "SPI": int(facts.spi),
        "MOST_IDLE": 64 + 2 * facts.silent_cycles // (8 * FEWEST_CLOCKS),
        "INPUTS": facts.inputs,
        "OUTPUTS": facts.outputs,
        "X_MAX": facts.x_max,
        "TAKES_IMAGES": int(coding is not None),
        "STEPS": 0 if coding is None else coding.steps,
        "PACKED": int(facts.packed),
        "FIFO_WORDS": facts.fifo_words,
        "INPUT_BYTES": form.input_bytes,
        "OUTPUT_BYTES": form.output_bytes,
        "VALUE_BYTES": 0 if readout is None else readout.value_bytes,
        "NAMES_CLASS": int(named),
        "BY_FIRST_SPIKE": int(by == "first-spike"),
        "JOINS_BY_MOST": int(by in ("first-spike", "membrane-max")),
        "OUTPUTS_PER_CLASS": 1 if rule.classes is None else facts.outputs // rule.classes,
        "THRESHOLD": rule.threshold or 0,
        "LONGEST_REPLY": longest_content(form) + 1 + CRC_BYTES,
    }
