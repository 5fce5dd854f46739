"""TODO experiments/language."""
