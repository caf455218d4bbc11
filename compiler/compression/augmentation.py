"""More calibration samples from few: small rotations, zooms, shears and shifts of images.

The original network answers any input, so that what it should do on a warped sample needs no label. 400 images say too
little about the second moments of 784 inputs; warped copies of them say a good deal more. Inputs that form no image
stay as they are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

ImageShape = tuple[int, int, int]
"""Channels, height, width."""

ROTATION = math.radians(12)
ZOOM = 0.1
SHEAR = 0.15
SHIFT = 0.06
"""The largest warps; the shift in image sizes."""

LEAST_SIDE = 8
RESEMBLANCE = 0.5
"""Flat inputs are taken for square images where the activities of vertical neighbours correlate this much."""


def image_shape(input_shape: tuple[int, ...], samples: npt.NDArray[Any]) -> ImageShape | None:
    """What image the inputs form, or None. `samples` are [samples, steps, inputs].

    Two dimensions are height and width, three have the channels first. Flat inputs may be one or two channels of a
    square image: they are if vertical neighbours in it are active together.
    """
    if len(input_shape) == 3:
        return input_shape[0], input_shape[1], input_shape[2]
    if len(input_shape) == 2:
        return 1, input_shape[0], input_shape[1]
    size = math.prod(input_shape)
    for channels in (1, 2):
        side = math.isqrt(size // channels)
        if side >= LEAST_SIDE and channels * side * side == size:
            activity = samples.mean(axis=1, dtype=np.float64).reshape(-1, channels, side, side)
            return (channels, side, side) if _smooth(activity) else None
    return None


def _smooth(activity: npt.NDArray[np.float64]) -> bool:
    centred = activity - activity.mean()
    above, below = centred[:, :, :-1].ravel(), centred[:, :, 1:].ravel()
    power = math.sqrt(float(above @ above) * float(below @ below))
    return power > 0 and float(above @ below) / power > RESEMBLANCE


def warped(samples: torch.Tensor, shape: ImageShape, generator: torch.Generator) -> torch.Tensor:
    """Every sample [samples, steps, inputs] under a random affine map of its own, to the nearest pixel."""
    import torch

    count = len(samples)
    channels, height, width = shape

    def within(limit: float) -> torch.Tensor:
        return (torch.rand(count, 1, generator=generator) * 2 - 1) * limit

    angle, shear = within(ROTATION), within(SHEAR)
    zoom_x, zoom_y = within(ZOOM).exp(), within(ZOOM).exp()
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    y, x = y.reshape(1, -1) - (height - 1) / 2, x.reshape(1, -1) - (width - 1) / 2
    x = x + shear * y
    column = (angle.cos() * x - angle.sin() * y) * zoom_x + within(SHIFT * width) + (width - 1) / 2
    row = (angle.sin() * x + angle.cos() * y) * zoom_y + within(SHIFT * height) + (height - 1) / 2
    column, row = column.round().long(), row.round().long()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    pixel = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    plane = torch.arange(channels)[None, :, None] * (height * width)
    source = (pixel[:, None] + plane).reshape(count, 1, -1).expand(samples.shape)
    return samples.gather(2, source) * inside.repeat(1, channels)[:, None]
