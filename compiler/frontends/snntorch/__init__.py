"""snnTorch modules, by tracing their forward pass."""
