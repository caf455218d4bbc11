"""Which engine runs what, with which memories."""
