"""Projection of vectors onto the plane of their first two principal components."""

import numpy as np


def principal_axes(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions [2, D] of largest variance of vectors [N, D], and their fractions [2] of it.

    The sign of a direction is chosen so that the coordinate of largest magnitude of the centred
    vectors is positive.
    """
    centred = vectors - vectors.mean(axis=0)
    _, scale, axes = np.linalg.svd(centred, full_matrices=False)
    missing = max(0, 2 - len(axes))  # vectors of one feature, or a single one
    axes = np.pad(axes, [(0, missing), (0, 0)])[:2]
    scale = np.pad(scale, (0, missing))
    points = centred @ axes.T
    largest = points[np.abs(points).argmax(axis=0), np.arange(2)]
    return axes * np.sign(largest)[:, None], scale[:2] ** 2 / (scale**2).sum()


def principal_components(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates [N, 2] of vectors [N, D] along `principal_axes`, and the fractions [2]."""
    axes, fractions = principal_axes(vectors)
    return (vectors - vectors.mean(axis=0)) @ axes.T, fractions
