"""Boolean functions of D inputs in {-1, +1}, as tables of all their values."""

import numpy as np

from ..catalogue import DataError, nearest

FUNCTIONS = ("parity", "majority", "random")


def all_inputs(count: int) -> np.ndarray:
    """Every input of `count` numbers in {-1, +1}, float32 [2^count, count].

    Row n has the binary digits of n, the first of which is the most significant.
    """
    digits = np.arange(2**count)[:, None] >> np.arange(count)[::-1] & 1
    return (2 * digits - 1).astype(np.float32)


def function_values(function: str, x: np.ndarray, seed: int) -> np.ndarray:
    """Values of a function for all inputs x [2^D, D], float32 [2^D] in {-1, +1}.

    function: parity (+1 for an odd number of inputs +1), majority (+1 for more inputs of +1 than of
    -1), random (every value drawn from the seed), or the values themselves as 2^D digits 0 and 1,
    in the order of `all_inputs`. Raises DataError when there is no such function.
    """
    if function == "parity":
        positive = (x > 0).sum(axis=1) % 2 == 1
    elif function == "majority":
        positive = x.sum(axis=1) > 0
    elif function == "random":
        positive = np.random.default_rng(seed).random(len(x)) < 0.5
    elif function and set(function) <= {"0", "1"}:
        if len(function) != len(x):
            raise DataError(
                f"the values of a function of {x.shape[1]} inputs are {len(x)} digits 0 and 1, "
                f"got {len(function)}"
            )
        positive = np.array(list(function)) == "1"
    else:
        raise DataError(
            f"there is no function {function!r}{nearest(function, FUNCTIONS)}; "
            f"available: {', '.join(FUNCTIONS)}, or {len(x)} digits 0 and 1"
        )
    return np.where(positive, 1, -1).astype(np.float32)
