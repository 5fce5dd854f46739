"""TODO experiments/image."""
