"""Random designs to fit the estimates to, of every kind in turn, small enough to be built by the dozen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from spikeloom.boards.devices import DEVICES
from spikeloom.boards.top import SerialCore
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import IF, LIF, ResetMode, ResetPlace
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.compiler.output.flash_image import plan_flash
from spikeloom.compiler.plan.folding import Folding, pipelined_folding, shared_folding
from spikeloom.compiler.plan.host_link import link_of
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.plan import Plan, make_plan
from spikeloom.hdl.engines.bitmap_format import BitmapFormat
from spikeloom.hdl.images.coding import Decoder, Encoder, ImageCoding
from spikeloom.hdl.link.flashed_core import FlashedCore
from spikeloom.hdl.link.linked_core import LinkedCore
from spikeloom.hdl.link.protocol import LinkFormat

DEVICE = {"ice40": "hx8k", "ecp5": "lfe5u-25f"}
"""The device that the designs of a family are built for."""

KINDS = {
    "ice40": ("shared", "vector", "bitmap", "encoder", "lanes", "spram", "pipelined"),
    "ecp5": ("shared", "vector", "bitmap", "encoder", "lanes", "split", "pipelined"),
}
"""What is taken in turn. Only iCE40s have SPRAM."""

ENCODERS = ((Encoder.RATE, 1), (Encoder.LATENCY, 1), (Encoder.DIRECT, 15))
"""The encoders in turn, with an input's largest value."""

CLOCKS_PER_BIT = 12

MOST_BRAMS = 32


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
        """Whether the family's device of `DEVICE` has everything that it takes."""
        return not self.plan.sprams

    def design(self) -> SerialCore:
        """The core with its host link, and what loads its weights."""
        core = LinkedCore(self.plan.core(), self.link, CLOCKS_PER_BIT, self.plan.family)
        return FlashedCore(core, plan_flash(self.plan)[0]) if self.plan.sprams else core


def random_trials(family: str, count: int) -> list[Trial]:
    """The first random designs of every kind in turn that the family's device can hold."""
    kinds = KINDS[family]
    first = 0 if family == "ice40" else 10_000
    return [_trial(family, kinds[number % len(kinds)], number // len(kinds), first + number) for number in range(count)]


def _trial(family: str, kind: str, turn: int, seed: int) -> Trial:
    """The first of its kind from a seed on; `turn` counts those of the kind."""
    capacity = DEVICES[DEVICE[family]].capacity
    encoder, x_max = ENCODERS[turn % len(ENCODERS)]
    coding = None
    if kind == "encoder":
        decoder = Decoder.COUNTS if turn // len(ENCODERS) % 2 else Decoder.ARGMAX
        coding = ImageCoding(encoder=encoder, steps=8 << turn % 3, decoder=decoder, x_max=x_max)
    for attempt in range(seed, seed + 1_000_000, 1000):
        rng = np.random.default_rng(attempt)
        network = random_network(rng, kind, 1 if coding is None else x_max)
        plan = make_plan(network, family, random_folding(rng, network, kind))
        fits = plan.brams < min(capacity.brams, MOST_BRAMS)
        if fits and (kind != "bitmap" or any(_has_bitmaps(plan))):
            return Trial(kind=kind, plan=plan, link=link_of(network, coding))
    raise AssertionError(f"no random design of the kind {kind} fits")


def _has_bitmaps(plan: Plan) -> Iterator[bool]:
    return (isinstance(getattr(engine.form, "rows", None), BitmapFormat) for engine in plan.engines)


def random_network(rng: np.random.Generator, kind: str, x_max: int = 1) -> Network:
    """An integer network of one to three populations, all neurons of a population alike."""
    depth = int(rng.choice([2, 3] if kind == "split" else [1, 2, 2, 3]))
    most = 5.0 if kind == "vector" else 6.0
    sizes = [int(2 ** rng.uniform(4, 7.5)), *(int(2 ** rng.uniform(3.5, most)) for _ in range(depth - 1))]
    sizes.append(int(rng.integers(16, 65)) if kind == "bitmap" else int(rng.integers(2, 21)))
    bits = int(rng.choice([2, 3, 4, 4] if kind == "vector" else [2, 3, 4, 4, 4, 5, 6, 8]))
    names = [INPUT, *(f"p{number}" for number in range(depth))]
    shape = (ResetMode(rng.choice(["subtract", "subtract", "value"])), ResetPlace(rng.choice(["same", "next", "next"])))
    same, has_bias = rng.random() < 0.7, rng.random() < 0.25  # all populations alike, as mostly
    dynamics = _dynamics(rng, *shape)
    populations, projections = [], []
    for pre, post, inputs, size in zip(names, names[1:], sizes, sizes[1:], strict=False):
        bias = rng.normal(0, 0.1, size) if has_bias else np.zeros(())
        neurons = dynamics if same else _dynamics(rng, *shape)
        populations.append(Population(name=post, shape=(size,), dynamics=neurons, bias=bias))
        weights = rng.normal(0, 1 / np.sqrt(inputs), (inputs, size))
        weights[rng.random(weights.shape) >= _density(rng, kind, inputs * size)] = 0
        projections.append(Projection(pre=pre, post=post, connectivity=Dense(weights=weights)))
    network = Network(
        input_shape=(sizes[0],),
        populations=tuple(populations),
        projections=tuple(projections),
        output=names[-1],
        x_max=x_max,
    )
    return quantise(network, bits)


def _density(rng: np.random.Generator, kind: str, cells: int) -> float:
    """Sparse mostly, and never so dense that no device holds it; bitmaps are for every second or third synapse."""
    if kind == "bitmap":
        return float(rng.uniform(0.35, 0.6))
    return float(min(rng.choice([0.03, 0.05, 0.1, 0.2, 0.4, 1.0]), 6000 / cells))


def _dynamics(rng: np.random.Generator, mode: ResetMode, place: ResetPlace) -> IF | LIF:
    threshold = np.array(float(rng.choice([0.5, 1.0, 1.0, 1.5])))
    if rng.random() < 0.15:
        return IF(threshold=threshold, reset_mode=mode, reset_place=place)
    beta = np.array(float(rng.choice([0.5, 0.75, 0.8, 0.9, 0.9375, 0.95, 0.97])))
    return LIF(beta=beta, threshold=threshold, reset_mode=mode, reset_place=place)


def random_folding(rng: np.random.Generator, network: Network, kind: str) -> Folding:
    """A folding of a kind."""
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
    if kind in ("shared", "encoder"):
        return shared_folding(network)
    return pipelined_folding(network, int(rng.integers(2, 5)) if kind == "lanes" else 1)
