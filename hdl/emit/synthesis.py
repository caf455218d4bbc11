"""The yosys passes that turn a design into a family's cells: the same ones for every netlist that we make."""

from __future__ import annotations

from ..memories.memory import Family

_ABC9_SCRIPT = "scratchpad -copy abc9.script.flow3 abc9.script"

_NO_COLLISIONS = "setparam -set COLLISION_X_MASK 1'1 t:$memrd_v2 r:TRANSPARENCY_MASK=1'0 %i"
"""A read port that is not transparent never reads the word that is being written (ShapedMemory), which Amaranth cannot
say: without it yosys builds a bypass that returns the old word."""

_NO_ELEMENTS = "rename -hide */w:*[[]* */x:* %d"
"""Amaranth names the elements of an array (`rows[0]`) as yosys does bits of the whole: abc9 takes one for the other."""


def synthesis_passes(family: Family, top: str, *, dsp: bool = False, flatten: bool = True) -> list[str]:
    """Passes that map the module `top`; `dsp` allows an iCE40 its multipliers.

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
    return [_NO_ELEMENTS, _NO_COLLISIONS, _ABC9_SCRIPT, " ".join(["synth_ice40", *options])]
