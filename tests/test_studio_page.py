"""The Studio's page in a real Chromium: the tutorial's walk, every button, two windows, a phone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from spikeloom.compiler.studio.server import Server
from studio_page import PATIENCE_SECONDS, browser, serving, write_samples, write_weights


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("page")
    with serving(folder) as server:
        yield server


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture
def page(chromium: Any, server: Server) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server.access.address)
    yield page
    context.close()
    assert not errors


def until(what: Callable[[], Any]) -> Any:
    """Waits until something is so."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := what()):
        assert time.monotonic() < end, "the page did not come to it"
        time.sleep(0.05)
    return found


def drag(page: Any, name: str, value: str) -> None:
    """Move a slider."""
    page.locator(f"[data-setting={name}]").evaluate(
        "(item, value) => { item.value = value; item.dispatchEvent(new Event('input', { bubbles: true })); }", value
    )


def test_the_tutorials_walk(page: Any, chromium: Any, server: Server, tmp_path: Path) -> None:
    """Load the quantised weights and samples, see the resources, choose an iCE40 board, click Pipeline."""
    write_weights(tmp_path / "weights.npz")
    write_samples(tmp_path / "samples.npz")
    page.set_input_files("#upload", [tmp_path / "weights.npz", tmp_path / "samples.npz"])
    page.wait_for_selector("#network table", timeout=1000 * PATIENCE_SECONDS)
    page.select_option("[data-setting=target]", "icestick")
    until(lambda: page.locator('td[data-side="plain"]').count() and "of 1,280" in page.inner_text("#estimates"))

    def cost(side: str) -> int:
        return int(page.inner_text(f'td[data-side="{side}"][data-resource="Logic cells"]').replace(",", ""))

    assert cost("compressed") > 0 and cost("plain") > 0
    before = page.inner_text("#estimates .tiles")
    drag(page, "sparsity", "0.9")
    until(lambda: page.inner_text("#estimates .tiles") != before)
    assert page.inner_text("[data-shows=sparsity]") == "90 %"
    until(lambda: "--sparsity 0.9" in page.locator("#estimates pre").text_content())

    page.click("#start")
    until(lambda: page.locator(".steps li.running").count())
    page.reload()
    other = page.context.new_page()
    other.goto(f"http://127.0.0.1:{server.access.port}/")
    for window in (page, other):
        until(lambda window=window: window.locator(".steps li").count() == 3)
    other.close()
    until(lambda: page.locator(".steps li.running, .steps li.waiting").count() == 0)
    assert page.locator(".steps li.done").count() == 3, page.inner_text("#pipeline")
    until(lambda: page.locator('a[href^="/report/design"]').count())
    assert "icestick" in page.inner_text("#builds")

    page.click("[data-view=design]")
    report = page.frame_locator("#viewer iframe")
    for title in ("Utilisation", "Critical path", "Memory map", "Classes", "Activity", "Verified"):
        until(lambda title=title: report.get_by_role("heading", name=title, exact=True).count() == 1)
    page.click("#viewer [data-close]")
    for link, name in (("Bitstream", "design-top.bin"), ("Save report", "design.html")):
        with page.expect_download() as download:
            page.get_by_role("link", name=link).click()
        assert download.value.suggested_filename == name


@pytest.mark.slow
def test_every_other_button(page: Any, server: Server, tmp_path: Path) -> None:
    """Stop and resume, a build without compression, a comparison, the simulated board, the example."""
    write_weights(tmp_path / "other.npz")
    write_samples(tmp_path / "others.npz")
    page.set_input_files("#upload", [tmp_path / "other.npz", tmp_path / "others.npz"])
    until(lambda: "other:" in page.inner_text("#network"))
    page.select_option("[data-setting=target]", "icestick")
    drag(page, "sparsity", "0.9")
    page.check("[data-setting=plain]")
    page.fill("[data-setting=build]", "pair")
    page.press("[data-setting=build]", "Tab")
    until(lambda: "build/pair-plain" in (page.locator("#pipeline .command pre").text_content() or ""))
    page.click("#start")
    until(lambda: page.locator(".steps li.done").count() == 1)
    page.get_by_role("button", name="Stop").click()
    until(lambda: page.locator(".steps li.stopped").count() == 1)
    kept = (server.studio.folder / ".studio" / "pair.nir").stat().st_mtime_ns
    page.get_by_role("button", name="Resume").click()
    until(lambda: page.locator(".steps li.running, .steps li.waiting").count())
    until(lambda: page.locator(".steps li.running, .steps li.waiting").count() == 0)
    assert page.locator(".steps li.done").count() == 4, page.inner_text("#pipeline")
    assert (server.studio.folder / ".studio" / "pair.nir").stat().st_mtime_ns == kept
    until(lambda: page.locator("[data-build=pair-plain]").count())
    for name in ("pair", "pair-plain"):
        page.check(f"[data-build={name}]")
    page.get_by_role("button", name="Compare chosen").click()
    table = page.frame_locator("#viewer iframe").get_by_role("table")
    until(lambda: table.count() and "Synapses" in table.inner_text())
    page.locator('button[data-form="build=pair&where=simulated"]').click()
    until(lambda: page.locator(".steps li.done").count() == 1 and page.locator(".steps li").count() == 1)
    assert "equal" in page.locator(".log pre").text_content()
    page.locator('button[data-form="build=pair&where=board"]').click()
    until(lambda: page.locator(".steps li.failed").count() == 1)
    assert "port" in page.inner_text(".steps .said")


def test_a_message_says_what_to_do_and_goes(page: Any, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"PK")
    page.set_input_files("#upload", tmp_path / "model.onnx")
    page.wait_for_selector("#problem:not([hidden])")
    assert "a state dict (.pt)" in page.inner_text("#problem")
    page.click("#problem [data-close]")
    assert page.locator("#problem").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(chromium: Any, server: Server, scheme: str) -> None:
    context = chromium.new_context(viewport={"width": 400, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(server.access.address)
    page.wait_for_selector("#estimates h2")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    context.close()


def test_without_the_token_there_is_no_page(chromium: Any, server: Server) -> None:
    context = chromium.new_context()
    page = context.new_page()
    answer = page.goto(f"http://127.0.0.1:{server.access.port}/")
    assert answer.status == 403 and "has a token" in page.content()
    context.close()
