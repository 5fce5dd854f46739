"""The adding problem: remember two marked numbers of a long sequence and output their sum.

Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997, experiment 4, with values in
[0, 1] and the plain sum as in later papers: the constant answer 1 has a mean squared error of 1/6.
As in the source, one mark is among the first ten elements and the other in the first half, so a
network must remember over at least half of the sequence.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..epochs import ALL, Batch, Rows, take_rows

TRAINING, HELD_OUT = 0, 1  # first elements of the seeds, so that no two random streams coincide
SHORTEST, EARLY = 4, 10


def adding_problem(count: int, length: int, rng: np.random.Generator) -> Batch:
    """Draw sequences and their sums.

    Returns "x" float32 [count, length, 2], a value uniform in [0, 1) and a marker that is 1 at two
    positions of a sequence and 0 elsewhere, and "target" float32 [count], the sum of the two marked
    values. Raises ValueError when the length is below 4: two marks must fit into the first half.
    """
    if length < SHORTEST:
        raise ValueError(f"length must be at least {SHORTEST}, got {length}")
    half = length // 2
    values = rng.random((count, length), dtype=np.float32)
    first = rng.integers(min(EARLY, half), size=count)
    second = rng.integers(half - 1, size=count)
    second += second >= first  # any position in the first half except that of the first mark
    marks = np.zeros_like(values)
    rows = np.arange(count)
    marks[rows, first] = marks[rows, second] = 1
    target = values[rows, first] + values[rows, second]
    return {"x": np.stack([values, marks], axis=-1), "target": target}


@dataclass(frozen=True)
class TrainingSequences:
    """step -> {"x", "target"}, new sequences at every step, a function of (seed, step)."""

    batch_size: int
    length: int
    seed: int

    def __call__(self, step: int, rows: Rows = ALL) -> Batch:
        """Return the rows of the batch of a step."""
        rng = np.random.default_rng((TRAINING, self.seed, step))
        return take_rows(adding_problem(self.batch_size, self.length, rng), rows)


@dataclass(frozen=True)
class EvaluationSequences:
    """A fixed set of `count` sequences, the same for every run; `number` selects the set.

    Adds "mask" float32 [B], 1 = counts; masked sequences fill up the last batch.
    """

    count: int
    batch_size: int
    length: int
    number: int

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order."""
        rng = np.random.default_rng((HELD_OUT, self.number, self.length))
        sequences = adding_problem(self.count, self.length, rng)
        for start in range(0, self.count, self.batch_size):
            indices = np.arange(start, start + self.batch_size)
            batch = {key: array[indices % self.count] for key, array in sequences.items()}
            yield {**batch, "mask": (indices < self.count).astype(np.float32)}
