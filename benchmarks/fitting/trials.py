"""Random designs to fit the estimates to, of every kind in turn, small enough to be built by the dozen."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np
from spikeloom.boards.devices import DEVICES, Device
from spikeloom.boards.top import SerialCore
from spikeloom.compiler.encodings.cost import Scarce
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.output.flash_image import plan_flash
from spikeloom.compiler.plan.folding import (
    Folding,
    fast_folding,
    pipelined_folding,
    shared_folding,
    slotted_folding,
    wide_folding,
)
from spikeloom.compiler.plan.host_link import link_of
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.plan import Plan, make_plan
from spikeloom.hdl.engines.bitmap_format import BitmapFormat
from spikeloom.hdl.images.coding import Decoder, Encoder, ImageCoding
from spikeloom.hdl.link.flashed_core import FlashedCore
from spikeloom.hdl.link.linked_core import LinkedCore
from spikeloom.hdl.link.protocol import LinkFormat

from .networks import random_maps, random_matrices

DEVICES_OF = {"ice40": ("hx8k",), "ecp5": ("lfe5u-25f", "lfe5u-45f", "lfe5u-85f")}
"""The devices that the designs of a family are built for: the first that holds a design."""

MAPS = ("taps", "pools", "wide")
"""The kinds of networks with maps."""

KINDS = {
    "ice40": ("shared", "vector", "bitmap", "encoder", "lanes", "spram", "pipelined", "slotted", *MAPS, "fast"),
    "ecp5": ("shared", "vector", "bitmap", "encoder", "lanes", "split", "pipelined", "slotted", *MAPS, "fast"),
}
"""What is taken in turn. Only iCE40s have SPRAM."""

NUMBERS = 11
"""How far the designs of a kind are apart in their numbers, fewer than there are kinds: those that were measured stay
what they are when a kind comes."""

MOST_SYNAPSES = {"ice40": 8_000, "ecp5": 300_000}
"""About how many synapses the largest designs have."""

MOST_IN_SPRAM = 60_000

MOST_OF = {"lanes": 20_000, "fast": 60_000}
"""The same of some kinds: lanes, of which each has its walker, are many designs in one."""

ENCODERS = ((Encoder.RATE, 1), (Encoder.LATENCY, 1), (Encoder.DIRECT, 15))
"""The encoders in turn, with an input's largest value."""

CLOCKS_PER_BIT = 12


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """A design: its kind, its core's plan, its host link."""

    kind: str
    plan: Plan
    link: LinkFormat

    @property
    def about_its_link(self) -> bool:
        """Whether it is there for what stands around the core: an encoder and a decoder, or a loader."""
        return self.kind in ("encoder", "spram")

    @property
    def placeable(self) -> bool:
        """Whether one of the family's `DEVICES_OF` has everything that it takes."""
        return not self.plan.sprams

    @property
    def device(self) -> Device:
        """What it is placed on."""
        return next(device for device in devices_of(self.plan.family.value) if _fits(self.plan, device))

    def design(self) -> SerialCore:
        """The core with its host link, and what loads its weights."""
        core = LinkedCore(self.plan.core(), self.link, CLOCKS_PER_BIT, self.plan.family)
        return FlashedCore(core, plan_flash(self.plan)[0]) if self.plan.sprams else core


def random_trials(family: str, count: int, kinds: Collection[str] = ()) -> list[Trial]:
    """The first random designs, of some kinds or of every kind, in turn."""
    every = KINDS[family]
    numbers = (number for number in itertools.count() if not kinds or every[number % len(every)] in kinds)
    return [trial_of(family, number) for number in itertools.islice(numbers, count)]


def trial_of(family: str, number: int) -> Trial:
    """One of the random designs, which are of every kind in turn."""
    turn, place = divmod(number, len(KINDS[family]))
    first = 0 if family == "ice40" else 10_000
    return _trial(family, KINDS[family][place], turn, first + NUMBERS * turn + place)


def devices_of(family: str) -> list[Device]:
    return [DEVICES[device] for device in DEVICES_OF[family]]


def _fits(plan: Plan, device: Device) -> bool:
    """With a block RAM for the host link."""
    return plan.brams < device.capacity.brams


def _trial(family: str, kind: str, turn: int, seed: int) -> Trial:
    """The first of its kind from a seed on; `turn` counts those of the kind."""
    encoder, x_max = ENCODERS[turn % len(ENCODERS)]
    coding = None
    if kind == "encoder":
        decoder = Decoder.COUNTS if turn // len(ENCODERS) % 2 else Decoder.ARGMAX
        coding = ImageCoding(encoder=encoder, steps=8 << turn % 3, decoder=decoder, x_max=x_max)
    for attempt in range(seed, seed + 1_000_000, 1000):
        rng = np.random.default_rng(attempt)
        if kind in MAPS:
            network = random_maps(rng, kind)
        else:
            most = MOST_IN_SPRAM if kind == "spram" else MOST_SYNAPSES[family]
            most = min(most, MOST_OF.get(kind, most))
            network = random_matrices(rng, kind, most=most, number=seed, x_max=1 if coding is None else x_max)
        plan = make_plan(network, family, random_folding(rng, network, kind, turn))
        if any(_fits(plan, device) for device in devices_of(family)) and _is_of_its_kind(kind, plan):
            return Trial(kind=kind, plan=plan, link=link_of(network, coding))
    raise AssertionError(f"no random design of the kind {kind} fits")


def _is_of_its_kind(kind: str, plan: Plan) -> bool:
    """Some networks have no engine of a kind."""
    if kind == "bitmap":
        return any(_has_bitmaps(plan))
    if kind == "fast":
        return all(instance.form.neurons.fast for instance in plan.engines)
    return kind not in ("slotted", "wide") or kind in {engine.kind for engine in plan.folding.engines}


def _has_bitmaps(plan: Plan) -> Iterator[bool]:
    return (isinstance(getattr(engine.form, "rows", None), BitmapFormat) for engine in plan.engines)


def random_folding(rng: np.random.Generator, network: Network, kind: str, turn: int) -> Folding:
    """A folding of a kind, of which several in turn have other slots and lanes."""
    names = [population.name for population in network.populations]
    if kind == "vector":
        return Folding(
            engines=tuple(
                engine_folding(
                    (population.name,),
                    kind="vector",
                    lanes=0,
                    events_per_beat=int(rng.choice([1, 1, 2, 4])),
                    neurons_per_cycle=int(rng.integers(1, min(4, population.size) + 1)),
                )
                for population in network.populations
            )
        )
    if kind == "split" and len(names) > 1:
        cut = int(rng.integers(1, len(names)))
        return Folding(engines=(engine_folding(tuple(names[:cut])), engine_folding(tuple(names[cut:]))))
    if kind == "spram":
        return Folding(engines=(engine_folding(tuple(names), spram=True),))
    if kind == "slotted":
        folding = slotted_folding(network, (2, 4, 8, 4, 16)[turn % 5])
        scarce = Scarce(rng.choice(list(Scarce)))
        return Folding(engines=tuple(replace(engine, scarce=scarce) for engine in folding.engines))
    if kind == "wide":
        return wide_folding(network, (4, 8, 16)[turn % 3])
    if kind == "fast":
        return fast_folding(network, pipelined_folding(network) if turn % 3 == 2 else shared_folding(network))
    if kind in ("shared", "encoder", "taps", "pools"):
        return shared_folding(network)
    return pipelined_folding(network, int(rng.integers(2, 5)) if kind == "lanes" else 1)
