"""Block RAM, SPRAM and dual-ported memories shaped to real blocks, and the models that simulate them."""
