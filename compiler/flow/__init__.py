"""The passes of a compilation, and the facts that its report tells."""
