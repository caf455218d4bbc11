"""The handwritten digits: a trained network with samples, which `spikeloom demo` takes, and the programs around it."""
