"""Examples that are rows of arrays.

Read first: `batches` (rows of arrays by name, shuffled for training, padded for evaluation).
"""
