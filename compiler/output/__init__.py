"""The files of a build: a folder that is complete or absent, and the image for the flash."""
