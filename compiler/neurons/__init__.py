"""Neurons in the form of the contract: one step, what it does on samples, what it can reach."""
