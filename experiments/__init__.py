"""One file per experiment, each runnable by itself: python -m experiments.NAME."""
