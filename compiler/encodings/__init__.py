"""Weights to memory words, and what a bit of them costs."""
