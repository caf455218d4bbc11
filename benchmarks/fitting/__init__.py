"""How the estimates are fitted: random designs of every kind, what the tools say of them, factors."""
