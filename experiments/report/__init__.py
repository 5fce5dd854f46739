"""TODO experiments/report."""
