"""Random networks, foldings and stimuli against an oracle of the arithmetic contract.

A case is plain JSON data (`cases`), so that a failure can be kept as a file, and so that the oracle, which reads it,
shares nothing with the product:

- `networks`, `foldings`, `stimuli`: the Hypothesis strategies, one place for each
- `oracle`: the contract in plain Python integers
- `machine`: a core in Amaranth's simulator, driven and heard token by token
- `hostile`: memories that return rubbish wherever a design must not look
- `check`: a case through the reference, the simulators and the netlists
- `__main__`: `make fuzz`
"""
