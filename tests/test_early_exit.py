"""Samples that end once their class is certain: the rule, on the host and as the reference has it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from board_tops import bare_facts
from networks import chain, random_spikes
from spikeloom.boards.host.certainty import Exit
from spikeloom.boards.host.facts import ClassRule
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.readout import ReadBy, Readout
from spikeloom.hdl.errors import OptionError
from spikeloom.hdl.images.coding import Encoder, ImageCoding
from spikeloom.hdl.link.protocol import Code, Reply
from spikeloom.sim.early_exit import early_exit
from spikeloom.sim.readout import scores

SPIKES = (np.random.default_rng(0).random((60, 12, 6)) < 0.2).astype(np.uint8)


def test_a_lead_is_that_over_every_other_class() -> None:
    spikes = np.zeros((1, 5, 3), np.uint8)
    spikes[0, :, 1] = [1, 0, 1, 1, 1]
    spikes[0, :, 2] = [1, 1, 0, 0, 0]
    assert [int(early_exit(Readout(), spikes, m).steps[0]) for m in (1, 2, 3)] == [2, 5, 5]
    found = early_exit(Readout(), spikes, 1)
    assert found.classes[0] == 2 and not found.spikes[0, 2:].any()
    assert early_exit(Readout(), spikes, 3).classes[0] == 1


def test_who_fires_first_is_known_at_once() -> None:
    readout = Readout(by=ReadBy.FIRST_SPIKE)
    found = early_exit(readout, SPIKES, 1)
    np.testing.assert_array_equal(found.classes, scores(readout, SPIKES, None).argmax(axis=1))
    assert found.steps.mean() < 3


@pytest.mark.parametrize("readout", [Readout(), Readout(classes=3), Readout(by=ReadBy.FIRST_SPIKE)], ids=str)
@pytest.mark.parametrize("margin", [1, 2, 5])
def test_a_host_knows_it_from_the_replies(readout: Readout, margin: int) -> None:
    found = early_exit(readout, SPIKES, margin)
    rule = ClassRule(by=readout.by.value, classes=readout.classes)
    exit = Exit.of(replace(bare_facts(), outputs=6, rule=rule), margin)
    for sample, steps in zip(SPIKES, found.steps, strict=True):
        certainty = exit.begin()
        for step in sample:
            certainty.take(Reply(Code.STEP, tuple(np.flatnonzero(step).tolist())))
        assert certainty.steps == steps


def test_other_answers_do_not_end_early() -> None:
    facts = bare_facts()
    for wrong, message in (
        (replace(facts, rule=ClassRule(threshold=3)), "read by a threshold"),
        (replace(facts, rule=ClassRule(by="membrane-last")), "read by membrane-last"),
        (replace(facts, coding=ImageCoding(encoder=Encoder.RATE, steps=4)), "makes them of images itself"),
    ):
        with pytest.raises(OptionError, match=message):
            Exit.of(wrong, 1)
    with pytest.raises(OptionError, match="read by membrane-sum"):
        early_exit(Readout(by=ReadBy.MEMBRANE_SUM), SPIKES, 1)


def test_simulate_says_what_it_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = chain(6, (12, 9, 6), fire=14, sub=15)
    write_nir(network, tmp_path / "net.nir")
    np.savez(tmp_path / "x.npz", spikes=random_spikes(1, network, samples=20, steps=5), labels=np.zeros(20, np.int64))
    argv = ["simulate", str(tmp_path / "net.nir"), "--data", str(tmp_path / "x.npz"), "--early-exit", "1"]
    assert main([*argv, "--json"]) == 0
    saved = json.loads(capsys.readouterr().out)["early_exit"]
    assert 1 <= saved["steps_taken"] < saved["steps"] == 5 and 0 <= saved["accuracy"] <= 1
    assert main(argv) == 0
    assert "early exit at a margin of 1:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("margin", "options", "message"),
    [
        (1, (), "shows on samples: none are given"),
        (1, ("--data", "x.npz", "--readout", "membrane-last"), "read by membrane-last"),
        (1, ("--data", "images.npz", "--encoder", "rate", "--steps", "5"), "makes them of images itself"),
        (0, (), "must be 1 or more"),
    ],
)
def test_compile_refuses_what_does_not_end_early(
    margin: int,
    options: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    network = chain(6, (4, 3), fire=14, sub=15)
    write_nir(network, tmp_path / "net.nir")
    np.savez(tmp_path / "x.npz", spikes=random_spikes(1, network, samples=2, steps=5))
    np.savez(tmp_path / "images.npz", images=np.full((2, network.input_size), 200))
    argv = ["compile", "net.nir", "--board", "icebreaker", "--early-exit", str(margin), *options, "--output", "build"]
    assert main(argv) != 0
    assert message in capsys.readouterr().err
