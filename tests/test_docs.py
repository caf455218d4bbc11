"""The documentation: links that lead somewhere, a notebook that runs, a site that builds without a network."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
import notebook  # noqa: E402

PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")})


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def figures(text: str) -> set[str]:
    """The numbers with their units or names, as both tables write them, thousands with commas."""
    text = text.replace("µs", "us").replace("logic cells", "LC").replace("DP16KD", "block RAMs")
    return set(re.findall(r"\b[\d,.]*\d (?:LC|block RAMs|LUT4|COMB|cycles per step|us)\b", text))


def test_the_readmes_figures_are_those_of_the_benchmark() -> None:
    """Every row of "How small, how fast" is one row of the table that benchmarks/hardware.py printed."""
    ours = [
        line.split("|")[2]
        for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith(("| smallest", "| fastest"))
    ]
    table = (ROOT / "docs" / "benchmarks_hardware.md").read_text(encoding="utf-8")
    measured = [figures(line.split("|")[2]) for line in table.splitlines() if line.startswith("| MNIST")]
    assert len(ours) == 3 and all(len(figures(row)) >= 2 for row in ours)
    assert [row for row in ours if not any(figures(row) <= figures_of_row for figures_of_row in measured)] == []


def test_the_sites_contents_are_pages() -> None:
    contents = re.findall(r": ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(contents) > 25 and [name for name in contents if ROOT / "docs" / name not in PAGES] == []


def test_the_notebook_is_the_page_of_the_first_network() -> None:
    assert notebook.NOTEBOOK.read_text(encoding="utf-8") == notebook.text_of(notebook.PAGE.read_text(encoding="utf-8"))


def test_the_notebook_and_the_page_of_snntorch_run(tmp_path: Path) -> None:
    for module in ("torch", "snntorch", "spikeloom.examples"):
        pytest.importorskip(module)
    cells = json.loads(notebook.NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    blocks = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    page = (ROOT / "docs" / "snntorch.md").read_text(encoding="utf-8")
    page = page[page.index("## What `forward` may look like") : page.index("## Signed inputs")]
    blocks += re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 8
    command = [sys.executable, "-c", "\n\n".join(blocks)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = re.search(r"float: ([\d.]+)% of 100.*\nintegers: ([\d.]+)%", run.stdout)
    assert found is not None and min(map(float, found.groups())) > 75, run.stdout
    assert re.search(r"about \d+ logic cells and \d+ block RAMs, at \d+ MHz", run.stdout)


class Fetched(HTMLParser):
    """What a page makes a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        key = {"script": "src", "img": "src", "link": "href", "iframe": "src"}.get(tag)
        given = dict(attrs)
        if key is not None and given.get("rel") != "canonical" and (url := given.get(key)):
            self.urls.append(url)


@pytest.mark.slow  # ten seconds of processor time
def test_the_site_builds_strictly_and_fetches_nothing_from_elsewhere(tmp_path: Path) -> None:
    for module in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(module)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 25 and "Read the NIR file at" in (tmp_path / "api" / "networks.html").read_text("utf-8")
    for page in pages:
        parser = Fetched()
        parser.feed(page.read_text(encoding="utf-8"))
        assert [url for url in parser.urls if url.startswith(("http:", "https:", "//"))] == [], page.name
    assert "\\|" not in (tmp_path / "cli.html").read_text("utf-8")
