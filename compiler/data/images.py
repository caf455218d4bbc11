"""The reference of the on-chip encoders: images become the very spikes that the hardware gives its core.

An image is pixels of 0 to 255, or black and white as bool. `encode` serves the reference executor, calibration and
training alike.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import SampleError
from ...hdl.images.coding import RATE_SEED, RATE_TAPS, Encoder, ImageCoding
from ..ir.arrays import SpikeArray

_WHITE = 255


def encode(images: npt.NDArray[Any], coding: ImageCoding) -> SpikeArray:
    """The spikes uint8 [samples, steps, pixels] of `images`, integers 0..255 or bool [samples, pixels...].

    - rate: in each step a pixel p spikes if p > r, where r is the pixel's and the step's own of the `random_numbers`,
      taken pixel after pixel and step after step. So it spikes in about p / 256 of the steps; every image meets the
      same numbers.
    - latency: a pixel spikes once, in the first step s (from 0) in which p + floor((s + 1) * i / 256) >= 256 with
      i = floor(65535 / steps): the brighter the earlier, and black never.
    - direct: in every step the input is the pixel's upper bits, as many as x_max has.

    A largest pixel of 1 is questioned. Raises SampleError for anything else than such images.
    """
    pixels = as_pixels(images)
    if pixels.max() == 1:
        warnings.warn(
            "pixels should go up to 255, white: the largest is 1, all but black; if 1 means white, save the images as "
            "bool or times 255",
            stacklevel=1,  # one place, so that a command says it once
        )
    if coding.encoder is Encoder.RATE:
        numbers = random_numbers(coding.steps * pixels.shape[1]).reshape(coding.steps, -1)
        return (pixels[:, None, :] > numbers).astype(np.uint8)
    if coding.encoder is Encoder.LATENCY:
        fallen = np.arange(1, coding.steps + 1) * (65535 // coding.steps) // 256
        first = np.argmax(np.arange(256)[:, None] + fallen >= 256, axis=1)
        spikes = np.zeros((len(pixels), coding.steps, pixels.shape[1]), np.uint8)
        sample, pixel = np.nonzero(pixels)
        spikes[sample, first[pixels[sample, pixel]], pixel] = 1
        return spikes
    values = pixels >> (8 - coding.x_max.bit_length())
    return np.repeat(values[:, None, :], coding.steps, axis=1)


@cache
def random_numbers(count: int) -> npt.NDArray[np.uint8]:
    """The first `count` numbers of the rate encoder.

    They are the bits from the ninth on, eight to a number, lowest first, of the sequence in which each bit is the sum
    modulo 2 of those 17 and 14 before it (x^17 + x^14 + 1, which repeats after 2^17 - 1 bits).
    """
    long, short = RATE_TAPS
    bits = np.zeros(9 + 8 * count, np.uint8)
    first = np.array([RATE_SEED >> place & 1 for place in range(long)], np.uint8)
    bits[:long] = first[: len(bits)]
    for start in range(long, len(bits), short):
        block = bits[start : start + short]
        block[:] = bits[start - long :][: len(block)] ^ bits[start - short :][: len(block)]
    numbers = np.packbits(bits[9:], bitorder="little")
    numbers.flags.writeable = False
    return numbers


def as_pixels(images: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Images as uint8 [samples, pixels]; True is white.

    Raises SampleError for what are no images.
    """
    array = np.asarray(images)
    if array.ndim < 2 or 0 in array.shape:
        raise SampleError(
            f"images must be [samples, pixels...] with at least one of each: their shape is {array.shape}"
        )
    if array.dtype.kind not in "bui":
        raise SampleError(f"pixels must be integers of 0 to 255: they are {array.dtype}; scale and round them")
    if array.dtype.kind == "b":
        return array.reshape(len(array), -1) * np.uint8(_WHITE)
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > _WHITE:
        raise SampleError(f"pixels must be integers of 0 to 255: one is {low if low < 0 else high}; scale them")
    return array.reshape(len(array), -1).astype(np.uint8)
