"""Sources, vocabularies and batches in numpy; a batch is a pure function of (seed, step)."""
