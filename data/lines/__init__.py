"""TODO data/lines."""
