"""What repeats in every experiment: step, loop, checkpoint, parallelism, metrics."""
