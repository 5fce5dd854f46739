"""Shuffled epochs: the examples of each step, every example once per epoch."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from .catalogue import DataError

Batch = dict[str, np.ndarray]  # arrays by name; the leading axis is the batch
Rows = slice | np.ndarray  # an increasing index of the leading axis
ALL = slice(None)


def take_rows(batch: Batch, rows: Rows) -> Batch:
    """Return some rows of a batch."""
    return {name: array[rows] for name, array in batch.items()}


class InMemory:
    """Training batches of arrays in memory: step -> batch, in two parts.

    `plan` draws the few numbers that define a batch; `gather` makes the batch of them, by functions
    that numpy and jax.numpy share, so it may run on a device that has the arrays.
    """

    def resident(self) -> Mapping[str, np.ndarray]:
        """Return the arrays that `gather` reads, the same ones at every step."""
        raise NotImplementedError

    def plan(self, step: int, rows: Rows = ALL) -> Batch:
        """Return the numbers that define the rows of the batch of a step, leading axis B."""
        raise NotImplementedError

    def gather(self, arrays: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any]:
        """Return the batch of a plan, from the arrays."""
        raise NotImplementedError

    def __call__(self, step: int, rows: Rows = ALL) -> Batch:
        """Return the rows of the batch of a step."""
        return self.gather(self.resident(), self.plan(step, rows))


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
