"""NIR files: guarded reading, dialects, and writing."""
