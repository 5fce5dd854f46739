"""Experiments with images: `task` (read first), and the modes `inside` and `robustness`."""
