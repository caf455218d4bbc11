"""`spikeloom completion`: the lines that a shell needs to complete this command's words."""

from __future__ import annotations

import argparse
from typing import Any

SHELLS = ("bash", "zsh", "fish")


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "completion",
        help="print what a shell needs to complete commands with the tab key",
        description="Print what a shell needs to complete commands, options, boards and layers with the tab key. "
        'Bash and zsh: eval "$(spikeloom completion bash)" in ~/.bashrc, or zsh in ~/.zshrc after compinit; '
        "fish: spikeloom completion fish > ~/.config/fish/completions/spikeloom.fish.",
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the lines."""
    import argcomplete

    print(argcomplete.shellcode(["spikeloom"], shell="bash" if options.shell == "zsh" else options.shell))
    return 0
