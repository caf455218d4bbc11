"""Bitstreams onto boards: which tool does it, what it would do, and a writer of our own for FTDI boards."""
