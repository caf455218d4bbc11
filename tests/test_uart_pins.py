"""Board tops, simulated down to their UART pins, against the reference; and what they make of broken frames."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from board_tops import FORM, NETWORK, emit_top
from cocotb.triggers import Event
from networks import random_spikes
from spikeloom.hdl.errors import MismatchError
from spikeloom.hdl.link.protocol import Code, Header, Reason, encode_frame, encode_sample
from spikeloom.sim.reference import run_reference
from spikeloom.sim.uart_bench import UartBench
from spikeloom.sim.uart_executor import Transmission, UartTop, exchange, run_through_uart
from spikeloom.sim.uart_model import FramingError

SPIKES = random_spikes(1, NETWORK, samples=4, steps=4)


@pytest.fixture(scope="module")
def icebreaker(tmp_path_factory: pytest.TempPathFactory) -> UartTop:
    return emit_top(tmp_path_factory.mktemp("icebreaker"), "icebreaker")


def test_samples_travel_through_the_pins_of_an_icebreaker(icebreaker: UartTop) -> None:
    seen: list[tuple[int, int]] = []
    got = run_through_uart(icebreaker, NETWORK, SPIKES, FORM, progress=lambda done, total: seen.append((done, total)))
    expected = run_reference(NETWORK, SPIKES).spikes
    assert np.array_equal(got.spikes, expected)
    assert expected.any()
    assert seen[-1] == (4, 4)


def test_samples_travel_by_spi(tmp_path: Path) -> None:
    form = replace(FORM, packed=True, identity=0xBEEF)
    top = emit_top(tmp_path, "icestick", form=form, spi=True)
    got = run_through_uart(top, NETWORK, SPIKES[:1], form)
    assert np.array_equal(got.spikes, run_reference(NETWORK, SPIKES[:1]).spikes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("board", "clock_hz"),
    [("icebreaker", 24e6), ("icestick", 24e6), ("upduino", None), ("ulx3s-12f", None), ("ecpix5-45f", None)],
)
def test_samples_travel_through_the_pins_of_other_boards(tmp_path: Path, board: str, clock_hz: float | None) -> None:
    top = emit_top(tmp_path, board, clock_hz)
    got = run_through_uart(top, NETWORK, SPIKES, FORM)
    assert np.array_equal(got.spikes, run_reference(NETWORK, SPIKES).spikes)


def test_broken_frames_are_answered_and_the_sample_can_be_sent_again(icebreaker: UartTop) -> None:
    frames = [Transmission.of(frame) for frame in encode_sample(FORM, SPIKES[0])]
    first = frames[0]
    flipped = bytearray(first.data)
    flipped[2] ^= 0x04
    broken = [
        (Transmission(data=bytes(flipped)), Reason.CHECKSUM),
        (Transmission(data=first.data, broken=(2,)), Reason.CHECKSUM),  # a byte without stop bit
        (Transmission(data=first.data[:-2] + first.data[-1:]), Reason.CHECKSUM),  # a byte lost
        (frames[1], Reason.ORDER),  # its sample was dropped
        (Transmission.of(encode_frame(FORM, Header.FIRST, [12])), Reason.ADDRESS),
    ]
    replies = exchange(icebreaker, [transmission for transmission, _ in broken] + frames, FORM)
    assert [reply.code for reply in replies[: len(broken)]] == [Code.ERROR] * len(broken)
    assert [reply.reason for reply in replies[: len(broken)]] == [reason for _, reason in broken]
    assert [reply.code for reply in replies[len(broken) :]] == [Code.STEP] * 3 + [Code.SAMPLE]
    expected = run_reference(NETWORK, SPIKES[:1]).spikes[0]
    assert [sorted(reply.spikes) for reply in replies[len(broken) :]] == [np.flatnonzero(s).tolist() for s in expected]


def test_a_frame_cut_short_is_refused_when_the_next_one_begins(icebreaker: UartTop) -> None:
    frames = [Transmission.of(frame) for frame in encode_sample(FORM, SPIKES[0])]
    cut = Transmission(data=frames[0].data[:-3], replies=0)
    again = replace(frames[0], replies=2)
    codes = [reply.code for reply in exchange(icebreaker, [cut, again, *frames[1:]], FORM)]
    assert codes == [Code.ERROR] + [Code.STEP] * 3 + [Code.SAMPLE]


def test_a_silent_device_is_reported(icebreaker: UartTop) -> None:
    frame = Transmission.of(next(encode_sample(FORM, SPIKES[0])))
    deaf = replace(icebreaker, rx="led_0__io")
    with pytest.raises(MismatchError, match="no reply to transmission 0: the device is silent"):
        exchange(deaf, [frame], FORM, patience_cycles=500)


def test_a_host_at_another_speed_gets_no_spikes(icebreaker: UartTop) -> None:
    frames = [Transmission.of(frame) for frame in encode_sample(FORM, SPIKES[0])]
    with pytest.raises(MismatchError, match="UART: "):
        exchange(replace(icebreaker, clocks_per_bit=5), frames, FORM, patience_cycles=500)


def test_a_device_that_goes_on_for_ever_is_stopped() -> None:
    """Every byte renews the host's patience, so that their number is bounded."""
    bench = object.__new__(UartBench)
    bench.job = {"most_bytes": 3}
    bench.received, bench.unanswered, bench.answered = bytearray(), deque(), Event()
    for _ in range(3):
        bench._take(7)
    with pytest.raises(FramingError, match=r"^the device goes on after 3 bytes, more than all replies have$"):
        bench._take(7)
