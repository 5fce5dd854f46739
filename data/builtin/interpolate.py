"""Linear interpolation with the same result, to the last bit, on every machine."""

import numpy as np


def interpolate(image: np.ndarray, positions: np.ndarray, axis: int) -> np.ndarray:
    """Values of an array float [...] at fractional positions [P] along an axis, of the same dtype.

    Beyond its ends, the axis has its first and last values. A product with a matrix of weights is
    faster for many positions, but its rounding depends on the instructions of the processor, and
    with it the checksum of the data that are made.
    """
    last = image.shape[axis] - 1
    positions = np.clip(positions, 0, last)
    first = positions.astype(int)
    share = (positions - first).astype(image.dtype)
    share = share.reshape(-1, *(1,) * (image.ndim - 1 - axis % image.ndim))
    near, far = (image.take(np.minimum(first + k, last), axis) for k in (0, 1))
    return near * (1 - share) + far * share
