"""RTLIL and Verilog, and the tools that make and read them."""
