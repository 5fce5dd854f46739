"""Batches of arrays in memory, and their checksum."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..epochs import ALL, Batch, InMemory, Rows, check_batch_size, epoch_examples


def sha256_of(*arrays: np.ndarray) -> str:
    """Hex digest of arrays, one after the other."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def count_rows(arrays: Mapping[str, np.ndarray]) -> int:
    """Return the common length N of arrays [N, ...]; ValueError when they differ."""
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"arrays must have the same number of rows, got {counts}")
    return next(iter(counts.values()))


@dataclass(frozen=True)
class TrainingArrays(InMemory):
    """step -> a batch of rows of arrays [N, ...], every row once per epoch.

    Raises ValueError when the arrays differ in length, DataError when a batch is larger than N.
    """

    arrays: Mapping[str, np.ndarray]
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        """Check the sizes."""
        check_batch_size(self.batch_size, count_rows(self.arrays))

    def resident(self) -> Mapping[str, np.ndarray]:
        """Return the arrays."""
        return self.arrays

    def plan(self, step: int, rows: Rows = ALL) -> Batch:
        """Return "index", the numbers of the rows."""
        count = count_rows(self.arrays)
        return {"index": epoch_examples(self.seed, step, self.batch_size, count)[rows]}

    def gather(self, arrays: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any]:
        """Return the rows of a plan."""
        return {name: array[plan["index"]] for name, array in arrays.items()}


def padded(rows: Mapping[str, np.ndarray], batch_size: int) -> Batch:
    """Pad arrays [N, ...] with zeros to batch_size rows; "mask" float32 [B] is 0 for the padding.

    Raises ValueError when the arrays differ in length.
    """
    real = count_rows(rows)
    missing = [(0, batch_size - real)]
    return {
        name: np.pad(array, missing + [(0, 0)] * (array.ndim - 1))
        for name, array in {**rows, "mask": np.ones(real, np.float32)}.items()
    }


@dataclass(frozen=True)
class EvaluationArrays:
    """Every row of arrays [N, ...] once, in order, in batches as `padded` makes them."""

    arrays: Mapping[str, np.ndarray]
    batch_size: int

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches of exactly batch_size rows."""
        for start in range(0, count_rows(self.arrays), self.batch_size):
            part = slice(start, start + self.batch_size)
            rows = {name: array[part] for name, array in self.arrays.items()}
            yield padded(rows, self.batch_size)
