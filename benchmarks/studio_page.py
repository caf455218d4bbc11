"""How heavy the Studio's page is, when a browser paints it, and how soon an estimate follows a slider.

    python benchmarks/studio_page.py [FOLDER]      a folder with a network and samples; default: the digits example

Needs Chromium and Playwright. Bytes are those on the wire, of a first visit; times are medians of five visits, and of
the slider of ten moves.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright
from spikeloom.compiler.studio.server import Server
from spikeloom.compiler.studio.studio import Studio

VISITS, MOVES = 5, 10
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
_MOVE = "(item, value) => { item.value = value; item.dispatchEvent(new Event('input', { bubbles: true })); }"


def main() -> None:
    """Serve, visit, move, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    given = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as empty:
        studio = Studio(Path(empty) if given is None else given)
        if given is None:
            studio.load_example()
        try:
            with Server(studio) as server:
                threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
                _measure(studio, server.access.address)
                server.shutdown()
        finally:
            studio.close()


def _measure(studio: Studio, address: str) -> None:
    while studio.busy:
        time.sleep(0.1)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        visits = [_visit(chromium, address) for _ in range(VISITS)]
        requests, weight = visits[0][:2]
        paint = statistics.median(visit[2] for visit in visits)
        print(f"first visit: {requests} requests, {weight:,} bytes; first contentful paint after {paint:.0f} ms")
        page = chromium.new_context().new_page()
        page.goto(address)
        page.wait_for_selector("[data-figure=lcs]")
        before = _processor_seconds(studio)
        waits = [_moved(page, studio, 0.3 + 0.05 * move) for move in range(MOVES)]
        worked = (_processor_seconds(studio) - before) / MOVES
        print(
            f"an estimate after a slider moved: {statistics.median(waits):.2f} s "
            f"({min(waits):.2f} to {max(waits):.2f}), of which {worked:.2f} s of processor time in the mean"
        )
        chromium.close()


def _processor_seconds(studio: Studio) -> float:
    """What the process of the figures has worked."""
    fields = Path(f"/proc/{studio.worker.process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _visit(chromium: Any, address: str) -> tuple[int, int, float]:
    """Requests, bytes and milliseconds."""
    context = chromium.new_context()
    page = context.new_page()
    network, sizes = context.new_cdp_session(page), []
    network.send("Network.enable")
    network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(address, wait_until="load")
    while not (painted := float(page.evaluate(_PAINT))):
        page.wait_for_timeout(20)
    page.wait_for_timeout(300)
    found = len(sizes), int(sum(sizes)), painted
    context.close()
    return found


def _moved(page: Any, studio: Studio, sparsity: float) -> float:
    """Seconds until the page shows the estimate for a sparsity."""
    started = time.monotonic()
    page.locator("[data-setting=sparsity]").evaluate(_MOVE, f"{sparsity:.2f}")
    wanted = f"--sparsity {sparsity:g} "
    while wanted not in (page.locator("#estimates pre").text_content() or "") or "estimates" in studio.busy:
        page.wait_for_timeout(10)
    page.wait_for_timeout(260)  # at most so long until the window asks again
    return time.monotonic() - started - 0.26


if __name__ == "__main__":
    main()
