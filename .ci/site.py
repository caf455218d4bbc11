"""What the documentation site does with pages that are written for GitHub too (`hooks` in mkdocs.yml)."""

from __future__ import annotations

import re
from typing import Any

_CODE = re.compile(r"<code>[^<]*</code>")


def on_page_content(html: str, **_: Any) -> str:
    """GitHub wants a bar in a table escaped, in code too; here the escape would be shown."""
    return _CODE.sub(lambda code: code[0].replace("\\|", "|"), html)
