"""Devices, boards, clocks, pins and the toolchain; a top level for the core on a board."""
