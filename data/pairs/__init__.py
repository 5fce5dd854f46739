"""TODO data/pairs."""
