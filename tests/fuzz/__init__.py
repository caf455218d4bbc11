"""Random networks and stimuli against an oracle of the arithmetic contract.

A case is plain JSON data, so that the oracle, which reads it, shares nothing with the product:

- `networks`, `stimuli`: the Hypothesis strategies, one place for each
- `oracle`: the contract in plain Python integers
- `check`: the reference against the oracle
"""
