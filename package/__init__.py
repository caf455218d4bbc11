"""Spikeloom: from a trained spiking neural network to a verified FPGA bitstream.

`spikeloom.compiler` has the names that users need; `spikeloom.sim`, `spikeloom.boards` and `spikeloom.hdl` the rest.
Nothing is imported here, so that `import spikeloom` costs nothing.
"""

from __future__ import annotations

__version__: str

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    """The version is that of the installed package; it is looked up when it is first asked for."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version(__name__)
