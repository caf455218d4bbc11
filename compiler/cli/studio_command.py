"""`spikeloom studio`: the page for all of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from . import common


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "studio",
        help="open a page to load, estimate, build, compare and run networks",
        description="Serve a page on this machine alone, for networks, samples and builds in a folder: estimates while "
        "sparsity and bits are moved, the pipeline to a verified bitstream, reports, comparisons, runs. It shows the "
        "command that does the same. Ends with Ctrl-C; what is built stays.",
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path(), metavar="FOLDER", help="default: this one")
    parser.add_argument(
        "--port", type=common.whole(1, 65535), metavar="N", help="default: the first free one from 8642"
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    import webbrowser

    from ...hdl.errors import OptionError
    from ..studio.server import PORT, Server
    from ..studio.studio import Studio

    if options.folder.exists() and not options.folder.is_dir():
        raise OptionError(f"the Studio works in a folder: {options.folder} is a file")
    options.folder.mkdir(parents=True, exist_ok=True)
    studio = Studio(options.folder)
    try:
        with Server(studio, options.port or PORT, exact=options.port is not None) as server:
            print(server.access.address, flush=True)
            common.tell("the Studio is open until Ctrl-C; only this machine reaches it, by this address")
            if not options.no_browser:
                webbrowser.open(server.access.address)
            server.serve_forever(poll_interval=0.2)
    finally:
        studio.close()
    return 0
