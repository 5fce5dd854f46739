"""TODO experiments/translation."""
