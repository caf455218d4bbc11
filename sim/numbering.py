"""Recordings of a core that lacks silent neurons, and of its whole network: one in terms of the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..compiler.ir.network import Network
from ..compiler.output.build_folder import NUMBERING
from ..compiler.plan.lean import Lean, read_lean
from ..hdl.errors import MismatchError, quoted
from .recording import PopulationRecording, Recording
from .reference import run_reference


def lean_in(folder: Path | None, network: Network) -> Lean:
    """A network and what the core of a build folder has of it; without a folder, of a core that is yet to be planned.

    Raises InputError where the folder's numbering is none of the network's.
    """
    return Lean(network, network) if folder is None else read_lean(folder / NUMBERING, network)


def of_core(lean: Lean, recording: Recording) -> Recording:
    """What a core should say, of the reference's recording of the whole network.

    Raises MismatchError where a neuron fires that the core lacks: a proof was wrong, or the core is another network's.
    """
    populations = dict(recording.populations)
    for name, kept in lean.kept.items():
        whole = populations[name]
        fired = np.any(whole.spikes, axis=(0, 1))
        fired[kept] = False
        if fired.any():
            raise MismatchError(
                f"population {quoted(name)}, neuron {int(np.argmax(fired))}: the core lacks it, as one that never "
                "fires, and the reference fires it; compile again"
            )
        membranes = None if whole.membranes is None else whole.membranes[..., kept]
        populations[name] = PopulationRecording(spikes=whole.spikes[..., kept], membranes=membranes)
    return replace(recording, populations=populations)


def of_whole(lean: Lean, recording: Recording, spikes: npt.NDArray[Any]) -> Recording:
    """What a core recorded, for all neurons: those that it lacks are silent, with membranes from the reference."""
    if not lean.kept:
        return recording
    shown = any(recording.populations[name].membranes is not None for name in lean.kept)
    reference = run_reference(lean.whole, spikes, membranes=shown)
    populations = dict(recording.populations)
    for name, kept in lean.kept.items():
        core, whole = recording.populations[name], reference.populations[name]
        fired = np.zeros_like(whole.spikes)
        fired[..., kept] = core.spikes
        membranes = None if core.membranes is None or whole.membranes is None else whole.membranes.copy()
        if membranes is not None:
            membranes[..., kept] = core.membranes
        populations[name] = PopulationRecording(spikes=fired, membranes=membranes)
    return replace(recording, populations=populations)
