"""How many cycles a core takes: an exact model of its engines."""
