"""`spikeloom boards`: the boards and devices to compile for."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...boards.boards import Board
    from ...boards.devices import Device


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser("boards", help="list boards and devices", description="List boards and devices.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the tables."""
    from ...boards.boards import all_boards
    from ...boards.devices import DEVICES

    boards, devices = all_boards(), tuple(DEVICES.values())
    if options.json:
        listing = {"boards": [_board(board) for board in boards], "devices": [_device(device) for device in devices]}
        print(json.dumps(listing, indent=2))
        return 0
    _print_tables(boards, devices)
    return 0


def _board(board: Board) -> dict[str, Any]:
    from ...boards.clock import fastest_baud

    return {
        "id": board.id,
        "name": board.name,
        "device": board.device.id,
        "clock_mhz": board.clock_hz / 1e6,
        "baud": fastest_baud(board, board.clock_hz),
        "note": board.note,
    }


def _device(device: Device) -> dict[str, Any]:
    return {
        "id": device.id,
        "name": device.name,
        "family": device.family.value,
        "package": device.package,
        "capacity": asdict(device.capacity),
        "bram_bits": device.bram_bits,
    }


def _print_tables(boards: tuple[Board, ...], devices: tuple[Device, ...]) -> None:
    from ..report.text import print_tables, table
    from ..report.wording import number

    rows = [
        (
            board.id,
            board.name,
            board.device.id,
            number(board.device.capacity.lcs),
            str(board.device.capacity.brams),
            f"{board.clock_hz / 1e6:g} MHz",
        )
        for board in boards
    ]
    capacities = [
        (
            device.id,
            device.name,
            number(device.capacity.lcs),
            f"{device.capacity.brams} x {number(device.bram_bits)}",
            str(device.capacity.spram),
            str(device.capacity.dsps),
        )
        for device in devices
    ]
    print_tables(
        table(
            "Boards (--board)",
            ("Board", "Name", "Device", "Logic cells", "Block RAMs", "Clock"),
            rows,
            numeric=(3, 4, 5),
        ),
        table(
            "Devices (--device)",
            ("Device", "Name", "Logic cells", "Block RAM bits", "SPRAM", "DSP"),
            capacities,
            numeric=(2, 3, 4, 5),
        ),
    )
    for board in boards:
        if board.note:
            print(f"{board.id}: {board.note}")
