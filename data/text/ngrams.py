"""A text as n-grams, each a word with the words before it, and batches of n-grams."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..catalogue import DataError
from ..epochs import ALL, Batch, Rows, check_batch_size, epoch_examples


def ngrams(ids: np.ndarray, order: int, start: int) -> np.ndarray:
    """N-grams int32 [N - 1, order] of ids [N]: each id except the first, after those before it.

    The text is preceded by copies of the id `start`, as many as needed. The rows are views of one
    array. Raises DataError when the text has fewer than two ids, or order is below 1.

    >>> ngrams(np.array([5, 6, 7]), 3, start=0).tolist()
    [[0, 5, 6], [5, 6, 7]]
    """
    if order < 1:
        raise DataError(f"the order of n-grams must be at least 1, got {order}")
    if len(ids) < 2:
        raise DataError(f"a text has {len(ids)} symbols; n-grams need at least 2")
    before = np.full(max(order - 2, 0), start)
    text = np.concatenate([before, ids[max(2 - order, 0) :]]).astype(np.int32)
    return np.lib.stride_tricks.sliding_window_view(text, order)


def sentence_ngrams(ids: np.ndarray, order: int, end: int) -> np.ndarray:
    """N-grams int32 [N, order] of ids [N], each id after those before it in its sentence.

    `end` ends every sentence, and copies of it are put before the first word, so that no n-gram has
    words of two sentences. Raises DataError when there is no id, or order is below 1.

    >>> sentence_ngrams(np.array([5, 6, 0, 7, 0]), 3, end=0).tolist()
    [[0, 0, 5], [0, 5, 6], [5, 6, 0], [0, 0, 7], [0, 7, 0]]
    """
    if order < 1:
        raise DataError(f"the order of n-grams must be at least 1, got {order}")
    if not len(ids):
        raise DataError("a text has no symbols; n-grams need at least 1")
    positions = np.arange(len(ids))
    begins = np.concatenate([[True], ids[:-1] == end])
    first = np.maximum.accumulate(np.where(begins, positions, 0))
    columns = []
    for back in range(order)[::-1]:
        inside = positions - back >= first
        columns.append(np.where(inside, ids[np.maximum(positions - back, 0)], end))
    return np.stack(columns, axis=1).astype(np.int32)


@dataclass(frozen=True)
class TrainingNgrams:
    """step -> {"contexts" int32 [B, n - 1], "targets" int32 [B]}: each n-gram once per epoch.

    Raises DataError when a batch is larger than the set.
    """

    grams: np.ndarray
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        """Check the sizes."""
        check_batch_size(self.batch_size, len(self.grams))

    def __call__(self, step: int, rows: Rows = ALL) -> Batch:
        """Return the rows of the batch of a step."""
        indices = epoch_examples(self.seed, step, self.batch_size, len(self.grams))
        grams = self.grams[indices[rows]]
        return {"contexts": grams[:, :-1], "targets": grams[:, -1]}


@dataclass(frozen=True)
class EvaluationNgrams:
    """Every n-gram once, in order; adds "mask" float32 [B], 0 in rows that fill the last batch."""

    grams: np.ndarray
    batch_size: int

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches of exactly batch_size rows."""
        for start in range(0, len(self.grams), self.batch_size):
            indices = start + np.arange(self.batch_size)
            rows = self.grams[np.minimum(indices, len(self.grams) - 1)]
            mask = (indices < len(self.grams)).astype(np.float32)
            yield {"contexts": rows[:, :-1], "targets": rows[:, -1], "mask": mask}
