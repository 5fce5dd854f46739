"""Labelled images: loading, augmentation, and training and evaluation batches.

Read first: `labelled` (image datasets that fit into memory). `photos` has large photographs, which
are decoded when needed, `augment` the random distortions, `decode_cache` a cache of decoded arrays.
"""
