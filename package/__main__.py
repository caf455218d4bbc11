"""`python -m spikeloom` is the `spikeloom` command."""

from __future__ import annotations

import sys

from .compiler.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
