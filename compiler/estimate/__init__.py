"""What a core costs, before any tool runs."""
