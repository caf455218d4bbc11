"""Every way of executing a network: float, integer reference, Amaranth's simulator, Verilog, netlist."""

from .simulate import simulate

__all__ = ["simulate"]
