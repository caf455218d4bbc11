"""Samples, labels and images, as files have them and as networks take them."""
