"""The Studio: a page on this machine for what the command line does, and the command beside everything it does."""
