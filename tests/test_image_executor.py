"""Images through encoder, core and decoder, against the reference: in the Amaranth simulator and at a board's pins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from board_tops import emit_top
from networks import chain
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.errors import MismatchError, SampleError
from spikeloom.hdl.images.coding import Decoder, Encoder, ImageCoding
from spikeloom.hdl.link.protocol import Code, LinkFormat, Reason, encode_image
from spikeloom.sim.image_executor import check_classes, reference_classes, run_images, run_images_through_uart
from spikeloom.sim.uart_executor import Transmission, UartTop, exchange

PIXELS, OUTPUTS = 20, 4
CODINGS = [
    ImageCoding(encoder=Encoder.RATE, steps=6),
    ImageCoding(encoder=Encoder.RATE, steps=6, decoder=Decoder.COUNTS),
    ImageCoding(encoder=Encoder.LATENCY, steps=5),
    ImageCoding(encoder=Encoder.DIRECT, steps=3, x_max=7),
]


def network(coding: ImageCoding) -> Network:
    return replace(chain(3, (PIXELS, 9, OUTPUTS), fire=np.array(4), sub=np.array(4)), x_max=coding.x_max)


def images_of(count: int) -> np.ndarray:
    """Black, white and noise, uint8 [images, 4, 5]."""
    noise = np.random.default_rng(1).integers(0, 256, (count - 2, PIXELS))
    return np.vstack([np.zeros(PIXELS), np.full(PIXELS, 255), noise]).astype(np.uint8).reshape(count, 4, 5)


@pytest.mark.parametrize("coding", CODINGS, ids=lambda coding: f"{coding.encoder}, {coding.decoder}")
def test_hardware_and_reference_agree_on_every_class(coding: ImageCoding) -> None:
    net, images = network(coding), images_of(10)
    run = run_images(make_plan(net), images, coding)
    expected = reference_classes(net, images, coding)
    check_classes(expected, run.classes, "the hardware")
    assert len(set(expected)) > 1
    assert min(run.cycles) >= coding.steps * (PIXELS + 3)


@pytest.mark.parametrize(
    ("images", "problem"),
    [(np.zeros((2, PIXELS - 1), np.uint8), "inputs"), (np.full((2, PIXELS), 300), "0 to 255")],
)
def test_images_that_do_not_suit_are_refused(images: np.ndarray, problem: str) -> None:
    coding = CODINGS[0]
    with pytest.raises(SampleError, match=problem):
        run_images(make_plan(network(coding)), images, coding)


def test_the_first_other_class_is_named() -> None:
    with pytest.raises(MismatchError, match="image 1: expected class 2, the board gave 3"):
        check_classes(np.array([0, 2, 1]), np.array([0, 3, 0]), "the board")
    with pytest.raises(MismatchError, match="2 were sent, the board gave 1"):
        check_classes(np.array([0, 2]), np.array([0]), "the board")


# --------------------------------------------------------------------------------------------------- at the pins


def top_of(folder: Path, coding: ImageCoding) -> tuple[UartTop, LinkFormat]:
    form = LinkFormat(inputs=PIXELS, outputs=OUTPUTS, coding=coding)
    return emit_top(folder, "icebreaker", net=network(coding), form=form), form


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory) -> tuple[UartTop, LinkFormat]:
    return top_of(tmp_path_factory.mktemp("rate"), CODINGS[0])


def test_images_travel_through_the_pins_of_an_icebreaker(rated: tuple[UartTop, LinkFormat]) -> None:
    top, form = rated
    images = images_of(6)
    classes = run_images_through_uart(top, network(CODINGS[0]), images, form)
    check_classes(reference_classes(network(CODINGS[0]), images, CODINGS[0]), classes, "the board")


@pytest.mark.slow
@pytest.mark.parametrize("coding", CODINGS[1:], ids=lambda coding: f"{coding.encoder}, {coding.decoder}")
def test_other_codings_at_the_pins(tmp_path: Path, coding: ImageCoding) -> None:
    top, form = top_of(tmp_path, coding)
    images = images_of(6)
    classes = run_images_through_uart(top, network(coding), images, form)
    check_classes(reference_classes(network(coding), images, coding), classes, "the board")


@pytest.mark.slow
def test_broken_images_at_the_pins(rated: tuple[UartTop, LinkFormat]) -> None:
    top, form = rated
    images = images_of(4)
    whole = Transmission.of(encode_image(form, images[2].ravel()))
    flipped = bytearray(whole.data)
    flipped[5] ^= 0x01
    sent = [
        replace(whole, data=bytes(flipped)),
        replace(whole, broken=(3,)),
        replace(whole, data=whole.data[:7] + whole.data[8:]),
        whole,
    ]
    replies = exchange(top, sent, form)
    assert [reply.reason for reply in replies] == [Reason.CHECKSUM] * 3 + [None]
    assert replies[-1].code is Code.SAMPLE
