"""Images in, a class out: encoders and decoders on the chip."""
