"""Which examples a step shows, when every one is shown once in each epoch."""

from functools import lru_cache

import numpy as np

from .catalogue import DataError

Batch = dict[str, np.ndarray]  # by name, leading axis the examples


def check_batch_size(batch_size: int, count: int) -> None:
    """Raise DataError when a batch is larger than a set of `count` examples."""
    if batch_size > count:
        raise DataError(
            f"config.batch_size {batch_size} is more than the {count} training examples"
        )


def epoch_examples(seed: int, step: int, batch_size: int, count: int) -> np.ndarray:
    """Numbers int [B] of the examples of a step: a pure function of (seed, step).

    Batches go on over the end of an epoch, so that none is short. batch_size: `count` at most.
    """
    epochs, places = np.divmod(step * batch_size + np.arange(batch_size), count)
    first = epoch_order(seed, int(epochs[0]), count)
    last = epoch_order(seed, int(epochs[-1]), count)
    return np.where(epochs == epochs[0], first[places], last[places])


@lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Order of `count` examples in an epoch: a pure function of (seed, epoch)."""
    return np.random.default_rng((seed, epoch)).permutation(count)
