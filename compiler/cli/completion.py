"""Completion with the tab key: what may stand where, for the shells that `spikeloom completion` speaks to.

The shell runs the command itself, with the line so far in the environment (argcomplete); what the parser does not know,
names of boards and of a model's layers, is looked up only then.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import common

Completer = Callable[..., Sequence[str]]
"""Words that may stand there; called with `parsed_args`, the options before, among others."""


def wanted() -> bool:
    """Whether a shell asks for completions, instead of a person for a command."""
    return "_ARGCOMPLETE" in os.environ


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell and end the process."""
    import argcomplete

    for action in _actions(parser):
        if action.dest in _COMPLETERS:
            action.completer = _COMPLETERS[action.dest]  # type: ignore[attr-defined]  # where argcomplete looks
    argcomplete.autocomplete(parser)


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The actions of a parser and of all its commands."""
    found = list(parser._actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [inner for command in action.choices.values() for inner in _actions(command)]
    return found


def _boards(**_: Any) -> list[str]:
    from ...boards.boards import BOARDS

    return list(BOARDS)


def _devices(**_: Any) -> list[str]:
    from ...boards.devices import DEVICES, FAMILIES

    return [*DEVICES, *FAMILIES]


def _ports(**_: Any) -> list[str]:
    from serial.tools.list_ports import comports

    return ["auto", *(port.device for port in comports())]


def _layers(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """The populations of the model that stands before, each with the keys of `--layer`."""
    populations = common.read_model(parsed_args).populations  # what cannot be read raises: nothing is offered
    return [f"{p.name}:{key}=" for p in populations for key in ("sparsity", "bits", "scheme")]


_COMPLETERS: Mapping[str, Completer] = {"board": _boards, "device": _devices, "port": _ports, "layer": _layers}
"""By the option's destination."""
