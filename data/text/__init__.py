"""TODO data/text."""
