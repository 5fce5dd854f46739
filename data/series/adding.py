"""The adding problem: remember two marked numbers of a long sequence, and answer with their sum.

Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997, experiment 4, with values in
[0, 1] and the plain sum as later papers have it: whoever always answers 1 errs by 1/6 in the mean
square. As in the source one mark is among the first ten elements and the other in the first half,
so that nothing helps the network but memory over half the sequence or more.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..epochs import Batch

TRAINING, HELD_OUT = 0, 1  # first words of the seeds, so that no two streams meet
SHORTEST, EARLY = 4, 10


def adding_problem(count: int, length: int, rng: np.random.Generator) -> Batch:
    """Draw sequences with their sums.

    Returns "x" float32 [count, length, 2], a value uniform in [0, 1) and a marker that is 1 at two
    places of a sequence and else 0; and "target" float32 [count], the sum of the two marked values.
    Raises ValueError when the length is below 4: two marks must fit into the first half.
    """
    if length < SHORTEST:
        raise ValueError(f"length must be at least {SHORTEST}, got {length}")
    half = length // 2
    values = rng.random((count, length), dtype=np.float32)
    first = rng.integers(min(EARLY, half), size=count)
    second = rng.integers(half - 1, size=count)
    second += second >= first  # any place of the first half but that of the first mark
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

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step."""
        rng = np.random.default_rng((TRAINING, self.seed, step))
        return adding_problem(self.batch_size, self.length, rng)


@dataclass(frozen=True)
class EvaluationSequences:
    """The same `count` sequences for every run: set number 0, 1, ... of this length.

    Adds "mask" float32 [B], 1 = counts; the last batch is filled up with sequences that do not.
    """

    count: int
    batch_size: int
    length: int
    number: int

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order."""
        rng = np.random.default_rng((HELD_OUT, self.number, self.length))
        whole = adding_problem(self.count, self.length, rng)
        for start in range(0, self.count, self.batch_size):
            places = np.arange(start, start + self.batch_size)
            batch = {key: array[places % self.count] for key, array in whole.items()}
            yield {**batch, "mask": (places < self.count).astype(np.float32)}
