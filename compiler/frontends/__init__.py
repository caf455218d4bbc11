"""Models in."""
