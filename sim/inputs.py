"""What every executor checks about the spikes that it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..compiler.ir.arrays import SpikeArray
from ..compiler.ir.network import Network
from ..compiler.ir.signed import least_value, sample_shapes, unsigned
from ..hdl.errors import SampleError


def checked_spikes(network: Network, spikes: npt.NDArray[Any]) -> SpikeArray:
    """`spikes` as uint8 [samples, steps, inputs]; the inputs may come flat or in the network's input shape.

    Signed ones (`x_min` below 0) are split where they still have their signs. Raises SampleError for another shape, a
    type that is not integer, or values outside x_min..x_max.
    """
    array = np.asarray(spikes)
    if array.ndim < 2 or array.shape[2:] not in sample_shapes(network):
        raise SampleError(
            f"samples have the shape [samples, steps, {network.input_size} inputs]: got {list(array.shape)}"
        )
    if array.dtype.kind not in "iub":
        raise SampleError(f"samples hold integers: got {array.dtype}; convert them to uint8")
    least = least_value(network, array.shape[2:])
    if array.size and not (array.min() >= least and array.max() <= network.x_max):
        raise SampleError(
            f"samples hold {least} to {network.x_max} spikes per input and step: got {array.min()} to {array.max()}"
        )
    return unsigned(network, array)
