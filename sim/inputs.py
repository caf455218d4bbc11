"""What every executor checks about the spikes that it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..compiler.ir.arrays import SpikeArray
from ..compiler.ir.network import Network
from ..hdl.errors import SampleError


def checked_spikes(network: Network, spikes: npt.NDArray[Any]) -> SpikeArray:
    """`spikes` as uint8 [samples, steps, inputs]; the inputs may come flat or in the network's input shape.

    Raises SampleError for another shape, a type that is not integer, or values outside 0..x_max.
    """
    array = np.asarray(spikes)
    if array.ndim < 2 or array.shape[2:] not in ((network.input_size,), network.input_shape):
        raise SampleError(
            f"samples have the shape [samples, steps, {network.input_size} inputs]: got {list(array.shape)}"
        )
    if array.dtype.kind not in "iub":
        raise SampleError(f"samples hold integers: got {array.dtype}; convert them to uint8")
    if array.size and not (array.min() >= 0 and array.max() <= network.x_max):
        raise SampleError(
            f"samples hold 0 to {network.x_max} spikes per input and step: got {array.min()} to {array.max()}"
        )
    return array.reshape(*array.shape[:2], network.input_size).astype(np.uint8, copy=False)
