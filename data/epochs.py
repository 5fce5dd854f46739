"""Shuffled epochs: the examples of each step, every example once per epoch."""

from functools import lru_cache

import numpy as np

from .catalogue import DataError

Batch = dict[str, np.ndarray]  # arrays by name; the leading axis is the batch
Rows = slice | np.ndarray  # an increasing index of the leading axis
ALL = slice(None)


def take_rows(batch: Batch, rows: Rows) -> Batch:
    """Return some rows of a batch."""
    return {name: array[rows] for name, array in batch.items()}


def check_batch_size(batch_size: int, count: int) -> None:
    """Raise DataError when a batch is larger than a set of `count` examples."""
    if batch_size > count:
        raise DataError(
            f"config.batch_size {batch_size} is more than the {count} training examples"
        )


def epoch_examples(seed: int, step: int, batch_size: int, count: int) -> np.ndarray:
    """Indices int [B] of the examples of a step: a pure function of (seed, step).

    A batch may cross the end of an epoch, so none is short. batch_size: at most `count`.
    """
    epochs, positions = np.divmod(step * batch_size + np.arange(batch_size), count)
    first = epoch_order(seed, int(epochs[0]), count)
    last = epoch_order(seed, int(epochs[-1]), count)
    return np.where(epochs == epochs[0], first[positions], last[positions])


@lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Permutation int [N] of `count` examples in an epoch: a pure function of (seed, epoch)."""
    return np.random.default_rng((seed, epoch)).permutation(count)
