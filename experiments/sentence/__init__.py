"""TODO experiments/sentence."""
