"""How a device turns images into spikes and spikes into a class: what both ends of the link agree on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ..errors import OptionError

PIXEL_BITS = 8
"""A pixel is a number of 0 to 255."""

MAX_STEPS = 255
"""The most time steps of an image."""


class Encoder(StrEnum):
    """How a pixel becomes spikes; `spikeloom.compiler.data.images` defines each exactly."""

    RATE = "rate"
    LATENCY = "latency"
    DIRECT = "direct"


class Decoder(StrEnum):
    """What a device answers to an image.

    - `argmax`, `first-spike`: the class alone, of the output that spikes most or first, of several the lowest
    - `counts`: every output spike, for the host to count
    - `membrane-last`, `membrane-max`, `membrane-sum`: a reading of every output's membranes, and the class
    - `membranes`: the membranes of every step
    """

    ARGMAX = "argmax"
    COUNTS = "counts"
    FIRST_SPIKE = "first-spike"
    MEMBRANE_LAST = "membrane-last"
    MEMBRANE_MAX = "membrane-max"
    MEMBRANE_SUM = "membrane-sum"
    MEMBRANES = "membranes"

    @property
    def names_class(self) -> bool:
        """Whether the answer is the class alone."""
        return self in (Decoder.ARGMAX, Decoder.FIRST_SPIKE)


@dataclass(frozen=True, kw_only=True)
class ImageCoding:
    """The coding of a device that takes images.

    `x_max` is the largest input value of the network: rate and latency give 0 or 1, direct gives the pixel's upper bits
    and so needs an `x_max` of 1, 3, 7, ... 255. Raises OptionError.
    """

    encoder: Encoder
    steps: int
    decoder: Decoder = Decoder.ARGMAX
    x_max: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= MAX_STEPS:
            raise OptionError(f"an image is shown for 1 to {MAX_STEPS} time steps: got {self.steps}; choose --steps")
        if not 1 <= self.x_max < 1 << PIXEL_BITS:
            raise OptionError(f"pixels need inputs of at most 255: the network's x_max is {self.x_max}; leave them out")
        if self.encoder is Encoder.DIRECT and self.x_max & (self.x_max + 1):
            raise OptionError(
                f"direct encoding needs an x_max of 1, 3, 7, 15, 31, 63, 127 or 255: the network's is {self.x_max}; "
                "choose another encoder or convert the network with another x_max"
            )

    @property
    def value_bits(self) -> int:
        """Bits of an input value that the encoder gives."""
        return self.x_max.bit_length() if self.encoder is Encoder.DIRECT else 1

    @property
    def pixel_bits(self) -> int:
        """The upper bits of a pixel that the encoder looks at."""
        return self.value_bits if self.encoder is Encoder.DIRECT else PIXEL_BITS

    @property
    def latency_increment(self) -> int:
        """By how much, in 1/256 of a grey level, the latency encoder's threshold falls per step."""
        return ((1 << 2 * PIXEL_BITS) - 1) // self.steps


RATE_TAPS = (17, 14)
"""Rate encoding: each bit of the pseudo-random sequence is the sum of those 17 and 14 before it (x^17 + x^14 + 1)."""

RATE_SEED = 0x0ACE1
"""The first 17 bits of the sequence, the first of them lowest; every image starts from them."""
