"""Bucketing: examples of similar widths are padded together, so that batches have few shapes.

A width is a variable length of an example: its number of words, letters or frames. An example may
have several widths, such as those of a source sentence and its translation.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any, Protocol

import numpy as np

from .catalogue import DataError
from .epochs import ALL, Batch, Rows

Shape = tuple[int, ...]  # one padded size for each width of an example

MULTIPLE = 4  # padded sizes are multiples of this


class Examples(Protocol):
    """A dataset that makes padded batches of its examples."""

    @property
    def widths(self) -> np.ndarray:
        """Widths int [N, W] of the N examples."""

    def batch(self, indices: np.ndarray, shape: Shape, batch_size: int) -> Batch:
        """Batch of the examples at `indices`, padded to `shape`.

        The rows after these examples, up to `batch_size`, are all padding.
        """


def pad_rows(rows: Sequence[Sequence[int] | np.ndarray], width: int) -> np.ndarray:
    """Rows of ids, padded with 0 to int32 [N, width]."""
    lengths = np.array([len(row) for row in rows], np.int32)
    out = np.zeros((len(rows), width), np.int32)
    flat = np.fromiter(chain.from_iterable(rows), np.int32, count=int(lengths.sum()))
    out[np.arange(width) < lengths[:, None]] = flat
    return out


def make_shapes(widths: np.ndarray, count: int) -> tuple[Shape, ...]:
    """At most `count` shapes that minimize the padding of examples with widths [N, W].

    Examples are ranked by their largest width and cut into groups. A shape fits its group and all
    groups before it, rounded up to multiples of 4, so the shapes grow. The cuts are optimal, by
    dynamic programming over all multiples of 4.
    """
    _, bound, counts = np.unique(
        _round_up(widths.max(axis=1)), return_inverse=True, return_counts=True
    )
    order = np.argsort(bound, kind="stable")
    before = np.concatenate([[0], np.cumsum(counts)])  # examples below each bound
    largest = np.maximum.accumulate(np.maximum.reduceat(widths[order], before[:-1]))
    area = _round_up(largest).sum(axis=1)
    # the least area of the first j bounds, and the bounds that end its groups
    areas = np.array([0, *[np.inf] * len(counts)])
    ends: list[tuple[int, ...]] = [()] * len(areas)
    for _ in range(count):
        chosen = [(0.0, ends[0])]
        for j in range(1, len(areas)):
            totals = areas[:j] + (before[j] - before[:j]) * float(area[j - 1])
            equal = np.flatnonzero(totals == totals.min())
            chosen.append((totals[equal[0]], (*min(ends[i] for i in equal), j - 1)))
        areas, ends = np.array([total for total, _ in chosen]), [each for _, each in chosen]
    return tuple(_shape(largest[j]) for j in ends[-1])


def assign_shapes(widths: np.ndarray, shapes: Sequence[Shape]) -> np.ndarray:
    """Index int [N] of the first shape that fits widths [N, W]; len(shapes) where none fits."""
    fits = np.all(widths[:, None] <= np.array(shapes), axis=-1)
    return np.where(np.any(fits, axis=1), np.argmax(fits, axis=1), len(shapes))


def fill_batches(groups: Sequence[np.ndarray], batch_size: int) -> list[tuple[int, np.ndarray]]:
    """Cut groups of indices into batches (group number, indices) of `batch_size` each.

    The remainder of a group moves to the next one, whose shape is large enough: only the very last
    batch may be smaller.
    """
    batches = []
    remainder = np.zeros(0, np.int64)
    for number, group in enumerate(groups):
        indices = np.concatenate([remainder, group])
        count = len(indices)
        used = count if number == len(groups) - 1 else count // batch_size * batch_size
        starts = range(0, used, batch_size)
        batches += [(number, indices[start : start + batch_size]) for start in starts]
        remainder = indices[used:]
    return batches


@dataclass(frozen=True)
class TrainingBuckets:
    """step -> batch, a function of (seed, step); every example occurs once per epoch.

    An epoch takes ceil(N / B) steps. Examples with a width above `longest` are excluded; `too_long`
    counts them. Each epoch shuffles every bucket, then the order of the batches. The remainder of a
    bucket moves to the next one, and padding rows complete the last batch of the largest bucket, so
    every batch has B rows. Raises DataError when all examples are too long.
    """

    examples: Examples
    batch_size: int
    seed: int
    longest: int = 100
    buckets: int = 5

    def __post_init__(self) -> None:
        """Check that at least one example is short enough."""
        if not len(self.included):
            raise DataError(
                f"none of the {len(self.examples.widths)} training examples fits into "
                f"width {self.longest}"
            )

    @cached_property
    def included(self) -> np.ndarray:
        """Indices int [N] of the examples that are short enough."""
        return np.flatnonzero((self.examples.widths <= self.longest).all(axis=1))

    @property
    def too_long(self) -> int:
        """Number of excluded examples."""
        return len(self.examples.widths) - len(self.included)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.included) // self.batch_size)

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """All shapes that a batch may have, in increasing order."""
        return make_shapes(self.examples.widths[self.included], self.buckets)

    @cached_property
    def _groups(self) -> list[np.ndarray]:
        numbers = assign_shapes(self.examples.widths[self.included], self.shapes)
        return [self.included[numbers == n] for n in range(len(self.shapes))]

    @cached_property
    def _order(self) -> np.ndarray:
        return np.concatenate(self._groups)

    def __call__(self, step: int, rows: Rows = ALL) -> Batch:
        """Return the rows of the batch of a step."""
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        sizes = tuple(map(len, self._groups))
        number, positions = epoch_batches(self.seed, epoch, sizes, self.batch_size)[step_in_epoch]
        chosen = np.arange(self.batch_size)[rows]
        examples = self._order[positions[chosen[chosen < len(positions)]]]
        return self.examples.batch(examples, self.shapes[number], len(chosen))


@lru_cache(maxsize=4)
def epoch_batches(
    seed: int, epoch: int, sizes: tuple[int, ...], batch_size: int
) -> list[tuple[int, np.ndarray]]:
    """Shuffled batches (group number, positions) of groups of these sizes, by (seed, epoch).

    Positions index the concatenation of all groups.
    """
    rng = np.random.default_rng((seed, epoch))
    ends = np.cumsum(sizes)
    shuffled = [end - size + rng.permutation(size) for size, end in zip(sizes, ends, strict=True)]
    batches = fill_batches(shuffled, batch_size)
    return [batches[i] for i in rng.permutation(len(batches))]


@dataclass(frozen=True)
class EvaluationBuckets:
    """Batches of all examples, short ones first, in the training shapes; adds "index" int32 [B].

    "index" is the index of the example in each row, -1 in rows that fill up the last batch.
    Examples too long for all shapes share one extra shape: their largest widths, rounded up.
    """

    examples: Examples
    batch_size: int
    shapes: tuple[Shape, ...]

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order."""
        widths = self.examples.widths
        numbers = assign_shapes(widths, self.shapes)
        largest = np.max([*widths[numbers == len(self.shapes)], self.shapes[-1]], axis=0)
        shapes = [*self.shapes, _shape(largest)]
        groups = [np.flatnonzero(numbers == n) for n in range(numbers.max(initial=-1) + 1)]
        for number, indices in fill_batches(groups, self.batch_size):
            batch = self.examples.batch(indices, shapes[number], self.batch_size)
            index = np.full(self.batch_size, -1, np.int32)
            index[: len(indices)] = indices
            yield {**batch, "index": index}


def restore_order(
    batches: Iterable[Batch], count: int, outputs: Callable[[Batch], Iterable[Any]]
) -> list[Any]:
    """Outputs of `count` examples in the order of the dataset, by "index" of each batch.

    outputs(batch) has one entry for each row; entries of rows with index -1 are dropped.
    """
    ordered: list[Any] = [None] * count
    for batch in batches:
        for index, output in zip(batch["index"], outputs(batch), strict=True):
            if index >= 0:
                ordered[index] = output
    return ordered


def _round_up(widths: np.ndarray) -> np.ndarray:
    return -(-widths // MULTIPLE) * MULTIPLE


def _shape(widths: np.ndarray) -> Shape:
    return tuple(map(int, _round_up(widths)))
