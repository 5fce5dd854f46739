"""TODO data/series."""
