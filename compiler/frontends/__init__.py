"""Models in: NIR files and snnTorch modules."""
