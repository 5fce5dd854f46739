"""Projection of vectors onto the plane of their first two principal components."""

import numpy as np


def principal_components(vectors) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates [N, 2] of vectors [N, D] along the two directions of largest variance.

    Also returns the fractions [2] of the variance. The sign of a direction is chosen so that its
    coordinate of largest magnitude is positive.
    """
    centred = vectors - vectors.mean(axis=0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    points = left[:, :2] * scale[:2]
    largest = points[np.abs(points).argmax(axis=0), np.arange(2)]
    return points * np.sign(largest), scale[:2] ** 2 / (scale**2).sum()
