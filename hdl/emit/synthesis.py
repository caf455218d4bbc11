"""The yosys passes that turn a design into a family's cells: the same ones for every netlist that we make."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..memories.memory import Family

_BLOCKS = "ice40_brams_map.v"
"""The file in the folder of yosys that maps block RAMs of an iCE40."""

_ABC9_SCRIPT = "scratchpad -copy abc9.script.flow3 abc9.script"

_NO_COLLISIONS = "setparam -set COLLISION_X_MASK 1'1 t:$memrd_v2 r:TRANSPARENCY_MASK=1'0 %i"
"""A read port that is not transparent never reads the word that is being written (ShapedMemory), which Amaranth cannot
say: without it yosys builds a bypass that returns the old word."""

_NO_ELEMENTS = "rename -hide */w:*[[]* */x:* %d"
"""Amaranth names the elements of an array (`rows[0]`) as yosys does bits of the whole: abc9 takes one for the other."""


_RAMS = (
    "memory_libmap -lib +/ice40/brams.txt -lib +/ice40/spram.txt -no-auto-huge",
    f"techmap -map {_BLOCKS}",
    "techmap -map +/ice40/brams_map.v -map +/ice40/spram_map.v",
    "ice40_braminit",
)
"""What synth_ice40 does with memories, but first with a map of our own, which makes the same cells: yosys's takes a
second for each block RAM."""


def synthesis_passes(family: Family, top: str, *, dsp: bool = False, flatten: bool = True) -> list[str]:
    """Passes that map the module `top`, within a `block_map`; `dsp` allows an iCE40 its multipliers.

    Two choices depart from yosys's defaults because they are smaller and no slower on our cores (784-128-10 with a
    serial link, seeds 1 to 3): abc9's third script saves 1 to 2 % of an iCE40's logic cells and runs 8 % faster; with
    it and without wide multiplexers an ECP5 takes 11 % fewer LUTs at the same speed.
    """
    options = ["-top", top]
    if not flatten:
        options.append("-noflatten")
    if family is Family.ECP5:
        return [_NO_ELEMENTS, _NO_COLLISIONS, _ABC9_SCRIPT, " ".join(["synth_ecp5", "-nowidelut", *options])]
    if dsp:
        options.append("-dsp")
    synthesis = " ".join(["synth_ice40", *options])
    steps = (f"{synthesis} -run begin:map_ram", *_RAMS, f"{synthesis} -run map_ffram:")
    return [_NO_ELEMENTS, _NO_COLLISIONS, _ABC9_SCRIPT, *steps]


@contextmanager
def block_map(folder: Path, family: Family) -> Iterator[None]:
    """The file that the passes of a family read, as long as yosys runs in that folder."""
    if family is not Family.ICE40:
        yield
        return
    file = folder / _BLOCKS
    file.write_bytes((Path(__file__).parent / _BLOCKS).read_bytes())
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
