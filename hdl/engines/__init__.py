"""Walkers over the stored weights, and the engines that join them to neurons."""
