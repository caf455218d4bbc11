"""The host's side of a board: the serial line, frames out and replies in, answers."""
