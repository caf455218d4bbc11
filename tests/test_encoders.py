"""The on-chip encoders against their reference, and what the reference promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator
from spikeloom.compiler.data.images import encode, random_numbers
from spikeloom.hdl.errors import OptionError, SampleError
from spikeloom.hdl.images.coding import Encoder, ImageCoding
from spikeloom.hdl.images.encoders import ImageEncoder, pixel_memory
from spikeloom.hdl.memories.memory import Family
from spikeloom.hdl.streams.tokens import TokenKind

CODINGS = {
    "rate": ImageCoding(encoder=Encoder.RATE, steps=5),
    "rate, one step": ImageCoding(encoder=Encoder.RATE, steps=1),
    "latency": ImageCoding(encoder=Encoder.LATENCY, steps=7),
    "latency, one step": ImageCoding(encoder=Encoder.LATENCY, steps=1),
    "latency, power of two": ImageCoding(encoder=Encoder.LATENCY, steps=8),
    "direct": ImageCoding(encoder=Encoder.DIRECT, steps=3, x_max=7),
    "direct, one bit": ImageCoding(encoder=Encoder.DIRECT, steps=2, x_max=1),
    "direct, whole pixels": ImageCoding(encoder=Encoder.DIRECT, steps=1, x_max=255),
}


def images_of(pixels: int) -> np.ndarray:
    """Black, white, every grey level, and noise; uint8 [samples, pixels]."""
    rng = np.random.default_rng(pixels)
    ramp = (np.arange(pixels) * 37) % 256
    noise = rng.integers(0, 256, (2, pixels))
    return np.vstack([np.zeros(pixels), np.full(pixels, 255), ramp, noise]).astype(np.uint8)


# ------------------------------------------------------------------------------------------------- the reference


def test_random_numbers_follow_their_recurrence() -> None:
    bits = [0x0ACE1 >> place & 1 for place in range(17)]
    while len(bits) < 9 + 8 * 500:
        bits.append(bits[-17] ^ bits[-14])
    expected = [sum(bits[9 + 8 * k + place] << place for place in range(8)) for k in range(500)]
    assert random_numbers(500).tolist() == expected
    assert random_numbers(1).tolist() == expected[:1]


def test_rate_is_the_pixel_over_256() -> None:
    image = np.repeat(np.arange(0, 256, 15), 20)[None]
    rate = encode(image, ImageCoding(encoder=Encoder.RATE, steps=200)).mean(axis=(0, 1))
    by_level = rate.reshape(-1, 20).mean(axis=1)
    assert np.allclose(by_level, np.arange(0, 256, 15) / 256, atol=0.03)
    assert not rate[:20].any()


def test_neighbours_spike_independently() -> None:
    spikes = encode(np.full((1, 400), 128), ImageCoding(encoder=Encoder.RATE, steps=100))[0].astype(float)
    assert abs(np.corrcoef(spikes[:, :-1].ravel(), spikes[:, 1:].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(spikes[:-1].ravel(), spikes[1:].ravel())[0, 1]) < 0.03


@pytest.mark.parametrize("steps", [1, 2, 7, 8, 25, 254, 255])
def test_latency_is_shorter_the_brighter_the_pixel(steps: int) -> None:
    spikes = encode(np.arange(256)[None], ImageCoding(encoder=Encoder.LATENCY, steps=steps))[0]
    assert spikes.sum(axis=0).tolist() == [0] + [1] * 255
    times = spikes[:, 1:].argmax(axis=0)
    assert np.all(np.diff(times) <= 0)
    assert times[0] == steps - 1
    assert times[-1] == 0


def test_direct_is_the_upper_bits_in_every_step() -> None:
    spikes = encode(np.array([[0, 31, 32, 255]]), ImageCoding(encoder=Encoder.DIRECT, steps=2, x_max=7))
    assert spikes.tolist() == [[[0, 0, 1, 7], [0, 0, 1, 7]]]


def test_images_of_any_shape_are_flattened() -> None:
    coding = CODINGS["rate"]
    images = images_of(12)
    assert np.array_equal(encode(images.reshape(-1, 3, 4), coding), encode(images, coding))


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        (np.zeros((2, 0), np.uint8), "at least one of each"),
        (np.zeros(4, np.uint8), "at least one of each"),
        (np.full((1, 4), 0.5), "pixels must be integers of 0 to 255: they are float64"),
        (np.array([[0, 256]]), "one is 256"),
        (np.array([[-1, 300]]), "one is -1"),
    ],
)
def test_what_is_no_image_is_refused(images: np.ndarray, problem: str) -> None:
    with pytest.raises(SampleError, match=problem):
        encode(images, CODINGS["rate"])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"encoder": Encoder.RATE, "steps": 0}, "1 to 255 time steps: got 0"),
        ({"encoder": Encoder.RATE, "steps": 256}, "1 to 255 time steps: got 256"),
        ({"encoder": Encoder.DIRECT, "steps": 1, "x_max": 6}, "the network's is 6"),
        ({"encoder": Encoder.RATE, "steps": 1, "x_max": 256}, "the network's x_max is 256"),
    ],
)
def test_bad_codings_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        ImageCoding(**options)


# -------------------------------------------------------------------------------------------------- the hardware


def emitted(coding: ImageCoding, images: np.ndarray, stalls: int | None = None) -> tuple[np.ndarray, int]:
    """What the encoder emits for images one after another, as spikes, and the cycles that it took."""
    pixels = images.shape[1]
    dut = ImageEncoder(pixels, coding, Family.ICE40)
    spikes = np.zeros((len(images) * coding.steps, pixels), np.uint8)
    cycles = 0

    async def writer(ctx: Any) -> None:
        for image in images:
            while not ctx.get(dut.image.idle):
                await ctx.tick()
            ctx.set(dut.image.write, 1)
            for number, pixel in enumerate([*image.tolist(), 99]):  # one too many
                assert ctx.get(dut.image.complete) == (number == pixels)
                ctx.set(dut.image.value, pixel)
                await ctx.tick()
            ctx.set(dut.image.write, 0)
            ctx.set(dut.image.start, 1)
            await ctx.tick()
            ctx.set(dut.image.start, 0)
            ctx.set(dut.image.write, 1)  # does nothing now
            await ctx.tick()
            ctx.set(dut.image.write, 0)

    async def reader(ctx: Any) -> None:
        nonlocal cycles
        rng = np.random.default_rng(stalls)
        step = 0
        while step < len(spikes):
            ready = stalls is None or rng.random() < 0.4
            ctx.set(dut.o.ready, int(ready))
            _, _, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            cycles += 1
            if not (valid and ready):
                continue
            if payload.kind == TokenKind.EVENT:
                spikes[step, payload.address] += 1
                continue
            is_last = step % coding.steps == coding.steps - 1
            assert payload.kind == (TokenKind.END_OF_SAMPLE if is_last else TokenKind.END_OF_STEP)
            step += 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(writer, background=True)
    simulator.add_testbench(reader)
    simulator.run()
    return spikes.reshape(len(images), coding.steps, pixels), cycles


@pytest.mark.parametrize("stalls", [None, 1], ids=["full speed", "stalled"])
@pytest.mark.parametrize("coding", CODINGS.values(), ids=CODINGS.keys())
def test_encoders_emit_what_the_reference_says(coding: ImageCoding, stalls: int | None) -> None:
    images = images_of(14)
    spikes, _ = emitted(coding, images, stalls)
    assert np.array_equal(spikes, encode(images, coding))


@pytest.mark.parametrize("pixels", [1, 2, 3, 15, 16, 17])
@pytest.mark.parametrize("name", ["rate", "latency", "direct"])
def test_any_number_of_pixels(name: str, pixels: int) -> None:
    images = images_of(pixels)
    spikes, _ = emitted(CODINGS[name], images)
    assert np.array_equal(spikes, encode(images, CODINGS[name]))


@pytest.mark.parametrize("name", ["rate", "latency", "direct"])
def test_time_is_as_documented(name: str) -> None:
    coding, pixels = CODINGS[name], 20
    images = images_of(pixels)[-1:]
    spikes, cycles = emitted(coding, images)
    writing = pixels + 2
    assert cycles - writing == coding.steps * (pixels + 3) + int(spikes.sum())


def test_an_image_can_be_forgotten() -> None:
    coding = CODINGS["direct"]
    dut = ImageEncoder(2, coding, Family.ICE40)
    seen = []

    async def bench(ctx: Any) -> None:
        ctx.set(dut.o.ready, 1)
        for strobe, value in [("write", 255), ("forget", 0), ("write", 0), ("write", 32), ("start", 0)]:
            ctx.set(getattr(dut.image, strobe), 1)
            ctx.set(dut.image.value, value)
            await ctx.tick()
            ctx.set(getattr(dut.image, strobe), 0)
        while len(seen) < 2 * coding.steps:
            _, _, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            if valid:
                seen.append((payload.kind, payload.address))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert [address for kind, address in seen if kind == TokenKind.EVENT] == [1] * coding.steps


def test_the_image_lies_in_block_ram() -> None:
    assert pixel_memory(784, CODINGS["rate"], Family.ICE40).brams == 2
    assert pixel_memory(784, CODINGS["direct"], Family.ICE40).brams == 1
    assert pixel_memory(784, CODINGS["rate"], Family.ECP5).brams == 1
