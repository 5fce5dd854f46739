"""TODO experiments/common."""
