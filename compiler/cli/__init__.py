"""The command line. It sits on top of all: it alone may import the simulation and the boards beside the compiler."""
