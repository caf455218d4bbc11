"""A Studio of its own and a real Chromium for tests: Debian's, or the one that Playwright or PATH has."""

from __future__ import annotations

import http.client
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import pytest
from spikeloom.compiler.studio.server import Server
from spikeloom.compiler.studio.studio import Studio

PORT = 18642
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PATIENCE_SECONDS = 600
"""What a busy machine may take."""


def write_weights(
    path: Path, sizes: tuple[int, ...] = (8, 6, 3), names: tuple[str, ...] = ("hidden", "output")
) -> None:
    """Quantised weights of a small chain, as a person has them."""
    rng = np.random.default_rng(3)
    arrays: dict[str, Any] = {}
    for name, inputs, outputs in zip(names, sizes[:-1], sizes[1:], strict=True):
        codes = rng.integers(-7, 8, (outputs, inputs)) * (rng.random((outputs, inputs)) < 0.6)
        arrays |= {f"{name}.weight": codes.astype(np.int8), f"{name}.scale": np.array(0.12)}
        arrays |= {f"{name}.beta": np.array(0.875)}
    np.savez(path, **arrays)


def write_samples(path: Path, inputs: int = 8, classes: int = 3, *, labels: bool = True) -> None:
    """A few samples with labels."""
    rng = np.random.default_rng(4)
    arrays = {"spikes": (rng.random((4, 6, inputs)) < 0.4).astype(np.uint8)}
    np.savez(path, **arrays, **({"labels": rng.integers(0, classes, 4)} if labels else {}))


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A Studio of a folder."""
    studio = Studio(folder)
    with Server(studio, PORT) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            studio.close()


class Client:
    """A browser's requests without a browser."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.own = f"127.0.0.1:{server.access.port}"
        self.headers = {"Host": self.own, "Cookie": server.access.cookie.split(";")[0]}

    def ask(
        self, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer; `headers` in the place of a known browser's."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.access.port, timeout=60)
        given = self.headers | ({"Origin": f"http://{self.own}"} if method == "POST" else {})
        connection.request(method, path, body, given if headers is None else headers)
        answer = connection.getresponse()
        found = answer.status, dict(answer.headers), answer.read()
        connection.close()
        return found

    def post(self, path: str, **form: str) -> tuple[int, bytes]:
        """Status and body."""
        status, _, body = self.ask("POST", path, urlencode(form))
        return status, body

    def upload(self, name: str, content: bytes) -> tuple[int, bytes]:
        """Status and body."""
        status, _, body = self.ask("POST", f"/upload?name={quote(name)}", content)
        return status, body

    def panel(self, name: str, *words: str) -> str:
        """A panel's text once it is computed and has these words."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            idle = name not in self.server.studio.busy
            text = self.ask("GET", f"/panel/{name}")[2].decode()
            ready = idle and all(word in text for word in words)
            if ready or time.monotonic() > end:
                assert ready, (words, text)
                return text
            time.sleep(0.05)


def chromium() -> str:
    """The path of a Chromium; skips the test where there is none, or no Playwright to drive it."""
    pytest.importorskip("playwright", reason="the page is tried by Playwright, which is not installed")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("the page is tried in Chromium, which is not installed: apt-get install chromium")
    return found


@contextmanager
def browser() -> Iterator[Any]:
    """A Chromium."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield started
        finally:
            started.close()
