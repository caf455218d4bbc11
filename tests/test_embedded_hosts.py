"""The C header and the MicroPython module of a build, compiled and run against simulated boards."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from board_tops import FORM, NETWORK, bare_facts, emit_top, facts_of
from networks import chain, random_spikes
from spikeloom.boards.host.embedded import MODULE, write_hosts
from spikeloom.boards.host.facts import LinkFacts
from spikeloom.boards.host.line import SerialLine
from spikeloom.compiler.data.images import encode
from spikeloom.compiler.plan.host_link import link_of
from spikeloom.hdl.images.coding import Encoder, ImageCoding
from spikeloom.hdl.link.protocol import Code, Unslip, crc_bytes, encode_sample, slip
from spikeloom.sim.bad_cable import Noise, Relay, as_it_is
from spikeloom.sim.board_model import build_board
from spikeloom.sim.early_exit import early_exit
from spikeloom.sim.readout import readings
from spikeloom.sim.reference import run_reference
from spikeloom.sim.simulated_board import SimulatedBoard
from test_membrane_readout import integrating

SPIKES = random_spikes(1, NETWORK, samples=12, steps=4)
EXPECTED = run_reference(NETWORK, SPIKES)
CODING = ImageCoding(encoder=Encoder.RATE, steps=5)
PICTURED = replace(chain(29, (12, 9, 6), fire=np.array(4), sub=np.array(4)), x_max=1)
IMAGES = np.random.default_rng(3).integers(0, 256, (8, 12)).astype(np.uint8) * (np.arange(12) % 3 > 0).astype(np.uint8)

MAIN = """
#include "host.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void to_board(void *context, const uint8_t *bytes, size_t count) {
    while (count) {
        ssize_t gone = write(*(int *)context, bytes, count);
        if (gone < 0) exit(9);
        bytes += gone;
        count -= (size_t)gone;
    }
}

static int from_board(void *context) {
    struct pollfd events = {*(int *)context, POLLIN, 0};
    uint8_t byte;
    if (poll(&events, 1, PATIENCE) <= 0) return -1;
    return read(*(int *)context, &byte, 1) == 1 ? byte : -1;
}

int main(int count, char **arguments) {
    int port = open(arguments[1], O_RDWR | O_NOCTTY);
    unsigned steps = count > 2 ? (unsigned)atoi(arguments[2]) : 1;
    uint8_t *sample = malloc((size_t)steps * SPIKELOOM_INPUTS);
    uint32_t margin = count > 3 ? (uint32_t)atoi(arguments[3]) : 0;
    spikeloom_line line = {.write = to_board, .read = from_board, .context = &port, .margin = margin};
    spikeloom_answer answer;
    int found = spikeloom_identify(&line);
    while (found == SPIKELOOM_OK && fread(sample, SPIKELOOM_INPUTS, steps, stdin) == steps) {
#if SPIKELOOM_TAKES_IMAGES
        found = spikeloom_image(&line, sample, &answer);
#else
        found = spikeloom_sample(&line, sample, steps, &answer);
#endif
        if (found != SPIKELOOM_OK) break;
        printf("%d", answer.predicted);
        for (int n = 0; n < SPIKELOOM_OUTPUTS; n++) printf(" %u", (unsigned)answer.spikes[n]);
#if SPIKELOOM_VALUE_BYTES
        for (int n = 0; n < SPIKELOOM_OUTPUTS; n++) printf(" %ld", (long)answer.readings[n]);
#endif
        if (margin) printf(" %u", (unsigned)answer.steps);
        printf("\\n");
    }
    return -found;
}
"""


@dataclass(frozen=True)
class Plugged:
    """A simulated board, what a host knows of it, and the folder with its hosts."""

    port: str
    facts: LinkFacts
    folder: Path


def plugged(folder: Path, packed: bool, coding: ImageCoding | None = None) -> Iterator[Plugged]:
    net = NETWORK if coding is None else PICTURED
    form = replace(FORM, packed=True, fifo_words=64, identity=99) if packed else replace(FORM, identity=0x1234)
    form = form if coding is None else replace(link_of(net, coding), packed=True, identity=0xBEEF)
    top = emit_top(folder, "icebreaker", net=net, form=form)
    facts = facts_of(top, net, form)
    write_hosts(facts, folder)
    with SimulatedBoard(build_board(top, quiet_cycles=100_000)) as board:
        yield Plugged(board.port, facts, folder)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "packed"])
def events(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugged]:
    yield from plugged(tmp_path_factory.mktemp("events"), request.param)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugged]:
    yield from plugged(tmp_path_factory.mktemp("images"), True, CODING)


def compiled(folder: Path, patience_ms: int = 1000) -> Path:
    if (compiler := shutil.which("gcc") or shutil.which("cc")) is None:
        pytest.skip("no C compiler")
    (folder / "main.c").write_text(f"#define PATIENCE {patience_ms}\n#define _DEFAULT_SOURCE\n{MAIN}")
    strict = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion", "-Werror", "-pedantic")
    subprocess.run([compiler, *strict, "-O1", "main.c", "-o", "host"], cwd=folder, check=True)
    return folder / "host"


def answered(program: Path, port: str, samples: np.ndarray, steps: int, margin: int = 0) -> list[list[int]]:
    run = subprocess.run(
        [program, port, str(steps), str(margin)], input=samples.tobytes(), capture_output=True, timeout=120
    )
    assert run.returncode == 0, run
    return [[int(word) for word in line.split()] for line in run.stdout.decode().splitlines()]


def module_of(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("spikeloom_host", folder / MODULE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Uart:
    """What MicroPython's machine.UART has, over a serial port."""

    def __init__(self, line: SerialLine, timeout: float = 1.0) -> None:
        self._line, self._timeout, self._waiting = line, timeout, bytearray()

    def write(self, data: bytes) -> None:
        self._line.write(bytes(data))

    def read(self, count: int) -> bytes | None:
        assert count == 1
        self._waiting += b"" if self._waiting else self._line.read(self._timeout)
        data, self._waiting = bytes(self._waiting[:1]), self._waiting[1:]
        return data or None


def expected_counts() -> list[list[int]]:
    counts = EXPECTED.spikes.sum(axis=1, dtype=int)
    return [[int(label), *row] for label, row in zip(EXPECTED.predicted, counts.tolist(), strict=True)]


def test_a_program_in_c_gets_the_references_answers(events: Plugged) -> None:
    assert answered(compiled(events.folder), events.port, SPIKES, 4) == expected_counts()


def test_samples_end_early_in_both(events: Plugged) -> None:
    """Once their class is certain: with the steps, spikes and classes of `sim.early_exit`."""
    wanted = early_exit(NETWORK.reading, EXPECTED.spikes, margin=1)
    assert len(set(wanted.steps.tolist())) > 1
    counts = wanted.spikes.sum(axis=1, dtype=int).tolist()
    rows = zip(wanted.classes.tolist(), counts, wanted.steps.tolist(), strict=True)
    assert answered(compiled(events.folder), events.port, SPIKES, 4, margin=1) == [[c, *n, s] for c, n, s in rows]
    with SerialLine(events.port, 115_200) as line:
        host = module_of(events.folder).Host(Uart(line), margin=1)
        answers = [host.sample(sample.tolist()) for sample in SPIKES]
    assert [answer.predicted for answer in answers] == wanted.classes.tolist()
    assert [len(answer.spikes) for answer in answers] == wanted.steps.tolist()


def test_a_program_in_c_sends_again_what_was_spoilt(events: Plugged, tmp_path: Path) -> None:
    program = compiled(events.folder, patience_ms=300)
    for faults in ((Noise(1 / 400, flip=0x10), as_it_is), (as_it_is, Noise(1 / 200))):
        with Relay(tmp_path, events.port, *faults) as relay:
            assert answered(program, relay.port, SPIKES, 4) == expected_counts()


def test_another_design_is_refused_by_both(events: Plugged, tmp_path: Path) -> None:
    write_hosts(replace(events.facts, identity=0xBEE0), tmp_path)
    program = compiled(tmp_path, patience_ms=100)
    assert subprocess.run([program, events.port], capture_output=True, timeout=60).returncode == 4
    module = module_of(tmp_path)
    with SerialLine(events.port, 115_200) as line, pytest.raises(module.LineError, match="another design"):
        module.Host(Uart(line, 0.1))


def test_the_module_gets_the_references_answers(events: Plugged, tmp_path: Path) -> None:
    module = module_of(events.folder)
    for fault in (as_it_is, Noise(1 / 200)):
        with Relay(tmp_path, events.port, as_it_is, fault) as relay, SerialLine(relay.port, 115_200) as line:
            host = module.Host(Uart(line, 0.3))
            answers = [host.sample(sample.tolist()) for sample in SPIKES]
        assert [answer.predicted for answer in answers] == EXPECTED.predicted.tolist()
        found = [[np.bincount(step, minlength=6).tolist() for step in answer.spikes] for answer in answers]
        assert found == EXPECTED.spikes.tolist()


def test_images_are_answered_by_both(images: Plugged) -> None:
    expected = run_reference(PICTURED, encode(IMAGES, CODING)).predicted.tolist()
    assert len(set(expected)) > 1
    found = answered(compiled(images.folder), images.port, IMAGES, 1)
    assert [row[0] for row in found] == expected
    with SerialLine(images.port, 115_200) as line:
        host = module_of(images.folder).Host(Uart(line))
        assert [host.image(bytes(image)).predicted for image in IMAGES] == expected


@pytest.mark.parametrize("by", ["membrane-max", pytest.param("membranes", marks=pytest.mark.slow)])
def test_membranes_are_read_by_both(tmp_path: Path, by: str) -> None:
    net = integrating(3, (12, 9, 6), by)
    form, spikes = replace(link_of(net), packed=True, identity=0xBEEF, fifo_words=32), SPIKES.clip(max=1)[:4]
    top = emit_top(tmp_path, "icebreaker", net=net, form=form)
    facts = facts_of(top, net, form)
    write_hosts(facts, tmp_path)
    membranes = run_reference(net, spikes, membranes=True).membranes
    assert form.readout is not None and membranes is not None
    given = readings(form.readout, membranes)[0][:, 0 if by == "membranes" else -1 :]
    with SimulatedBoard(build_board(top, quiet_cycles=100_000)) as board:
        found = answered(compiled(tmp_path), board.port, spikes, 4)
        with SerialLine(board.port, 115_200) as line:
            host = module_of(tmp_path).Host(Uart(line))
            answers = [host.sample(sample.tolist()) for sample in spikes]
    assert [row[0] for row in found] == [answer.predicted for answer in answers] == given[:, -1].argmax(axis=1).tolist()
    assert [row[7:] for row in found] == given[:, -1].tolist()
    assert [answer.readings for answer in answers] == given.tolist()


class Echo:
    """A line that keeps what is sent, and answers what it is told to."""

    def __init__(self, replies: list[bytes]) -> None:
        self.sent, self._replies = bytearray(), bytearray(b"".join(replies))

    def write(self, data: bytes) -> None:
        self.sent += data

    def read(self, count: int) -> bytes:
        data, self._replies = bytes(self._replies[:count]), self._replies[count:]
        return data


def reply(facts: LinkFacts, content: bytes, code: int) -> bytes:
    body = content + bytes([code])
    return slip(body + crc_bytes(body, facts.identity))[1:]


@pytest.mark.parametrize("inputs", [12, 300])
@pytest.mark.parametrize("packed", [False, True])
def test_the_module_sends_what_the_protocol_says(tmp_path: Path, inputs: int, packed: bool) -> None:
    facts = replace(bare_facts(), inputs=inputs, packed=packed, fifo_words=512 if inputs == 12 else 400)
    write_hosts(facts, tmp_path)
    spikes = random_spikes(5, replace(chain(1, (inputs, 6), fire=14, sub=15), x_max=3), 1, 3)[0]
    ends = [reply(facts, b"", Code.STEP)] * 2 + [reply(facts, b"\x02", Code.SAMPLE)]
    line = Echo([reply(facts, bytes([5]), Code.ERROR), *ends])
    answer = module_of(tmp_path).Host(line).sample(spikes.tolist())
    assert answer.predicted == 2 and answer.spikes == [[], [], [2]]
    due = b"".join(frame.data for frame in encode_sample(facts.form, spikes))
    assert bytes(line.sent[5:]) == due
    assert [body[0] for body in _bodies(due)] == ([5] if packed and inputs == 12 else [3, 2, 4])


UNDER_MICROPYTHON = """
import sys
sys.path.append(sys.argv[1])
import spikeloom_host
class Line:
    said = bytes.fromhex(sys.argv[2])
    def write(self, data):
        pass
    def read(self, count):
        data, self.said = self.said[:count], self.said[count:]
        return data or None
print(spikeloom_host.Host(Line()).sample([[0] * 11 + [1]] * 2).spikes)
"""


def test_the_module_runs_under_micropython(tmp_path: Path) -> None:
    if (micropython := shutil.which("micropython")) is None:
        pytest.skip("no micropython on PATH")
    facts = bare_facts()
    write_hosts(facts, tmp_path)
    said = [reply(facts, bytes([5]), Code.ERROR), reply(facts, b"\x02", Code.STEP), reply(facts, b"", Code.SAMPLE)]
    (tmp_path / "main.py").write_text(UNDER_MICROPYTHON)
    argv = [micropython, tmp_path / "main.py", tmp_path, b"".join(said).hex()]
    assert subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout.split(b"\n")[0] == b"[[2], []]"


def _bodies(data: bytes) -> Iterator[bytes]:
    frames = Unslip()
    return (body for byte in data if (body := frames.feed(byte)) is not None)
