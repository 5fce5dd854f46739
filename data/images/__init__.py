"""TODO data/images."""
