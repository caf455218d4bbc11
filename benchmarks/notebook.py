"""The page of the first network as a notebook.

    python benchmarks/notebook.py --write    examples/first_network.ipynb anew, from docs/start.md
    python benchmarks/notebook.py --check    whether it is current

Python blocks become cells of code, what is between them cells of text; results are left out.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE, NOTEBOOK = ROOT / "docs" / "start.md", ROOT / "examples" / "first_network.ipynb"


def notebook(page: str) -> dict[str, Any]:
    """The notebook (nbformat 4.5) of a page in Markdown."""
    cells = []
    for number, part in enumerate(re.split(r"^```python\n(.*?)^```\n", page, flags=re.MULTILINE | re.DOTALL)):
        text = re.sub(r"\]\((\w+)\.md", r"](../docs/\1.md", part).strip()
        if not text:
            continue
        cell: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}, "source": text.splitlines(keepends=True)}
        if number % 2:
            cells.append({"cell_type": "code", "execution_count": None, "outputs": [], **cell})
        else:
            cells.append({"cell_type": "markdown", **cell})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def text_of(page: str) -> str:
    """The notebook's file."""
    return json.dumps(notebook(page), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--write", action="store_true")
    group.add_argument("--check", action="store_true")
    options = parser.parse_args()
    text = text_of(PAGE.read_text(encoding="utf-8"))
    if options.write:
        NOTEBOOK.write_text(text, encoding="utf-8")
    elif NOTEBOOK.read_text(encoding="utf-8") != text:
        raise SystemExit(f"{NOTEBOOK.name} is not what docs/start.md says; run {Path(__file__).name} --write")


if __name__ == "__main__":
    main()
