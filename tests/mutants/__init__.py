"""Mutants: one change at a time in a copy of the package, and the tests that should see it.

`listing` says which changes; `make mutants` makes them, runs the tests of each, and prints list and score.
"""
