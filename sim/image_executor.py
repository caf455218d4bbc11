"""Images through an on-chip encoder, the core and a decoder, in Amaranth's simulator and at a board top's pins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from amaranth import Module
from amaranth.hdl import Value
from amaranth.sim import Simulator as AmaranthSimulator
from amaranth.sim import SimulatorContext

from ..compiler.data.images import as_pixels, encode
from ..compiler.ir.arrays import IntArray
from ..compiler.ir.network import Network
from ..compiler.ir.readout import ReadBy, Readout
from ..compiler.plan.plan import Plan
from ..hdl.errors import MismatchError
from ..hdl.images.coding import Decoder, ImageCoding
from ..hdl.images.decoders import create_decoder
from ..hdl.images.encoders import ImageEncoder
from ..hdl.link.protocol import Code, LinkError, LinkFormat, encode_image, reply_class
from ..hdl.neurons.readout import ReadoutFormat
from ..hdl.streams.tokens import TokenKind
from .divergence import check_readings
from .inputs import checked_spikes
from .limits import hang_cycles
from .readout import readings
from .recording import Recording
from .reference import run_reference
from .uart_executor import Transmission, UartTop, exchange

Classes = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]

_CLOCK_SECONDS = 1e-6


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageRun:
    """What became of images: `classes` int64 [images]; `cycles` from the start of each to its end at the output;
    `readings` int64 [images, steps, outputs] where the core gives some, those of the last step alone or of all."""

    classes: Classes
    cycles: tuple[int, ...]
    readings: npt.NDArray[np.int64] | None = None


def run_images(plan: Plan, images: npt.NDArray[Any], coding: ImageCoding, progress: Progress | None = None) -> ImageRun:
    """Simulate encoder, core and decoder on `images`, integers 0..255 [images, pixels...], one after another.

    Raises SampleError, and MismatchError where the hardware hangs or answers an image other than by one class.
    """
    pixels = _checked(plan.network, images, coding)
    simulation = _Simulation(plan, coding)
    return simulation.run(pixels, progress)


def run_images_through_uart(
    top: UartTop,
    network: Network,
    images: npt.NDArray[Any],
    form: LinkFormat,
    *,
    simulator: str = "icarus",
    progress: Progress | None = None,
) -> Classes:
    """The classes int64 [images] that a board top answers at its pins; `form` has the coding.

    Raises SampleError, ToolError, and MismatchError where the device is silent or answers anything but a class.
    """
    assert form.coding is not None, "a device that takes images has a coding"
    pixels = _checked(network, images, form.coding)
    transmissions = [Transmission.of(encode_image(form, image), number) for number, image in enumerate(pixels)]
    patience = _patience(network, form.coding)
    replies = exchange(top, transmissions, form, patience_cycles=patience, simulator=simulator, progress=progress)
    classes = []
    for number, reply in enumerate(replies):
        if reply.code is Code.ERROR:
            raise MismatchError(f"the device refused image {number}: {reply.reason!r}")
        try:
            classes.append(reply_class(form, reply))
        except LinkError as error:
            raise MismatchError(f"UART: {error}") from None
    return np.array(classes, np.int64)


def reference_classes(network: Network, images: npt.NDArray[Any], coding: ImageCoding) -> Classes:
    """The classes int64 [images] by the reference encoder and the integer reference. Raises SampleError, ModelError."""
    return decoded_classes(run_reference(network, encode(images, coding)), coding)


def decoded_classes(recording: Recording, coding: ImageCoding) -> Classes:
    """The classes int64 [images] that a device's decoder makes of what is recorded.

    It goes by a reading of membranes, the output that spikes first, or that which spikes most whatever the network's
    class is read by.
    """
    by = ReadBy.SPIKES if coding.decoder in (Decoder.ARGMAX, Decoder.COUNTS) else ReadBy(coding.decoder.value)
    return replace(recording, readout=Readout(by=by)).predicted


def check_classes(expected: Classes, got: Classes, where: str) -> None:
    """MismatchError at the first image whose class is another than expected; `where` says whose it is."""
    if len(expected) != len(got):
        raise MismatchError(f"every image has one class: {len(expected)} were sent, {where} gave {len(got)}")
    for number in np.flatnonzero(expected != got)[:1]:
        raise MismatchError(f"image {number}: expected class {expected[number]}, {where} gave {got[number]}")


def check_image_readings(network: Network, form: ReadoutFormat, expected: Recording, got: IntArray) -> None:
    """The readings of every image must be the reference's, whose classes are compared apart; raises MismatchError."""
    assert expected.membranes is not None, "what a class is read off is recorded"
    due, _ = readings(form, expected.membranes)
    check_readings(network, form, (due[:, -got.shape[1] :], None), (got, None))


def _checked(network: Network, images: npt.NDArray[Any], coding: ImageCoding) -> npt.NDArray[np.uint8]:
    """The images as uint8 [images, pixels], with as many pixels as the network has inputs."""
    pixels = as_pixels(images)
    checked_spikes(network, encode(pixels[:1], coding))
    return pixels


def _patience(network: Network, coding: ImageCoding) -> int:
    """Cycles after which a device that owes a class counts as hung."""
    return coding.steps * (hang_cycles(network) + coding.x_max * network.input_size)


class _Simulation:
    """An encoder, a core and a decoder being simulated."""

    def __init__(self, plan: Plan, coding: ImageCoding) -> None:
        network = plan.network
        outputs, most = network.size_of(network.output), network.population(network.output).max_spikes
        self._encoder = ImageEncoder(network.input_size, coding, plan.family)
        self._core = plan.core()
        self._readout = plan.readout
        self._decoder = create_decoder(outputs, coding, plan.family, plan.readout, most)
        self._outputs = outputs
        self._counts_here = coding.decoder is Decoder.COUNTS
        self._patience = _patience(network, coding)

    def run(self, pixels: npt.NDArray[np.uint8], progress: Progress | None) -> ImageRun:
        classes: list[int] = []
        cycles: list[int] = []
        readings: list[list[int]] = []

        async def bench(context: SimulatorContext) -> None:
            context.set(self._decoder.o.ready, 1)
            for image in pixels:
                await self._write(context, image)
                predicted, said, time = await self._answer(context, len(classes))
                classes.append(predicted)
                readings.append(said)
                cycles.append(time)
                if progress is not None:
                    progress(len(classes), len(pixels))

        simulator = AmaranthSimulator(self._joined())
        simulator.add_clock(_CLOCK_SECONDS)
        simulator.add_testbench(bench)
        simulator.run()
        read = None if self._readout is None else np.array(readings, np.int64).reshape(len(pixels), -1, self._outputs)
        return ImageRun(classes=np.array(classes, np.int64), cycles=tuple(cycles), readings=read)

    def _joined(self) -> Module:
        m = Module()
        m.submodules.encoder, m.submodules.core, m.submodules.decoder = self._encoder, self._core, self._decoder
        for source, sink in ((self._encoder.o, self._core.i), (self._core.o, self._decoder.i)):
            m.d.comb += [sink.payload.eq(source.payload), sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
        return m

    async def _write(self, context: SimulatorContext, image: npt.NDArray[np.uint8]) -> None:
        port = self._encoder.image
        for _ in range(self._patience):
            if context.get(port.idle):
                break
            await context.tick()
        else:
            raise MismatchError(f"the encoder is busy after {self._patience} cycles: the hardware hangs")
        context.set(port.write, 1)
        for pixel in image.tolist():
            context.set(port.value, pixel)
            await context.tick()
        context.set(port.write, 0)
        context.set(port.start, 1)
        await context.tick()
        context.set(port.start, 0)

    async def _answer(self, context: SimulatorContext, number: int) -> tuple[int, list[int], int]:
        """The class of the image under way, its readings where there are some, and the cycles until it was there."""
        output = self._decoder.o
        value = 0 if self._readout is None else output.payload.value
        spikes: list[int] = []
        readings: list[int] = []
        for cycle in range(1, self._patience + 1):
            _, _, valid, kind, address, said = await context.tick().sample(
                output.valid, output.payload.kind, output.payload.address, Value.cast(value)
            )
            if valid and kind == TokenKind.EVENT:
                spikes.append(address)
                readings.append(said)
            elif valid and self._readout is None:
                return self._class_of(spikes, number), [], cycle
            elif valid and self._readout is not None:
                named = self._readout.names_class
                return address if named else int(np.argmax(readings[-self._outputs :])), readings, cycle
        raise MismatchError(f"image {number}: no class after {self._patience} cycles: the hardware hangs")

    def _class_of(self, spikes: list[int], number: int) -> int:
        if self._counts_here:
            return int(np.argmax(np.bincount(spikes, minlength=self._outputs)))
        if len(spikes) != 1:
            raise MismatchError(f"image {number}: one class was expected, the decoder gave {spikes}")
        return spikes[0]
