"""TODO experiments/signal."""
