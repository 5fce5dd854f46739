"""Reading rows of numbers from a text file."""

import warnings
from pathlib import Path

import numpy as np

from ..catalogue import DataError
from ..forms.content import check_no_pipe


def read_numbers(path: Path) -> np.ndarray:
    """Numbers float64 [N, M] of a file: N lines of M numbers each, separated by commas.

    Raises DataError, naming the file, when it is malformed or cannot be read.
    """
    check_no_pipe(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # raised for a file without numbers
            numbers = np.loadtxt(path, np.float64, delimiter=",", ndmin=2)
            if not np.isfinite(numbers).all():
                raise ValueError("a number is not finite")
            return numbers
    except (OSError, ValueError, UserWarning) as error:
        raise DataError(f"cannot read numbers in {path}: {error}") from error
