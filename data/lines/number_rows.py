"""Numbers in a text file."""

import warnings

import numpy as np

from ..catalogue import DataError


def read_numbers(path: str) -> np.ndarray:
    """Numbers float64 [N, M] of a file, N lines of M each, separated by commas.

    Raises DataError, naming the file, when it cannot be read so.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # of a file without a number
            found = np.loadtxt(path, np.float64, delimiter=",", ndmin=2)
            if not np.isfinite(found).all():
                raise ValueError("a number is not finite")
            return found
    except (OSError, ValueError, UserWarning) as error:
        raise DataError(f"cannot read numbers in {path}: {error}") from error
