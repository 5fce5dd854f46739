"""Random division of examples into a training and a validation set."""

import numpy as np

from data.catalogue import DataError

VALIDATION = 2  # element of the seed, so that no two random streams coincide


def split_indices(count: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices for training and for validation, a random split of `count` examples.

    fraction: that of the validation set, which has at least one example. Raises DataError if there
    are fewer than two examples.
    """
    if count < 2:
        raise DataError(f"training and validation need at least two examples, got {count}")
    order = np.random.default_rng((seed, VALIDATION)).permutation(count)
    size = max(1, round(count * fraction))
    return order[size:], order[:size]
