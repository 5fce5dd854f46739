"""TODO data/sentences."""
