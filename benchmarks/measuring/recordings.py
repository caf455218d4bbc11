"""N-MNIST as one .npz file with the events of many recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from spikeloom.compiler.data.events import Events, Sensor, frames

SENSOR = Sensor(channels=2, rows=34, columns=34)


def framed_recordings(
    file: Path, which: slice = slice(None), *, step_us: int, steps: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Frames [recordings, steps, channel, row, column] and labels, of recordings in a fixed random order.

    The file holds the events of all recordings one after the other, `x`, `y`, `p` and `t_us`, where each recording
    begins, `offsets`, and its `label`.
    """
    with np.load(file) as data:
        columns = {name: data[name] for name in ("t_us", "x", "y", "p", "offsets", "label")}
    chosen = np.random.default_rng(0).permutation(len(columns["label"]))[which]
    parts = []
    for number in chosen:
        part = slice(columns["offsets"][number], columns["offsets"][number + 1])
        events = Events.of(*(columns[name][part] for name in ("t_us", "x", "y", "p")))
        parts.append(frames(events, SENSOR, step_us=step_us, steps=steps))
    return np.stack(parts), columns["label"][chosen].astype(np.int64)
