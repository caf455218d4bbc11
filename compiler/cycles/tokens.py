"""What the blocks of a cycle model (`circuit`, `lane`, `vector`) exchange: tokens, and the handshakes of a cycle."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

EVENT, END_OF_STEP, END_OF_SAMPLE, ABORT = range(4)
"""The numbers of `spikeloom.hdl.streams.tokens.TokenKind`."""

Token = tuple[int, int]
"""A kind and an address."""

EVENTS, ENDS = 1, 2
ALL = EVENTS | ENDS
"""What a block takes in a cycle: nothing, events, ends, or whatever comes."""

Offer = tuple[int, Token | None]
"""What a block takes, and the token that it offers."""

Move = tuple[Token | None, bool, Token | None]
"""The token that a block took, whether its own was taken, and the token at its input, taken or not."""

Block = Generator[Offer, Move, None]
"""A block shows an offer in each cycle and is sent what came of it."""


@dataclass
class Aside:
    """A second token that a block shows beside its offer, and whether it was taken."""

    token: Token | None = None
    taken: bool = False


def takes(ready: int, token: Token | None) -> bool:
    """Whether a token is taken."""
    return token is not None and bool(ready & (EVENTS if token[0] == EVENT else ENDS))
