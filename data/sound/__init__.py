"""TODO data/sound."""
