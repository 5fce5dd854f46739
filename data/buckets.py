"""Batches of few shapes: examples of like widths are padded together.

A width is the length of a part of an example that varies: words, letters, frames. An example may
have several, such as those of a source and its translation.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any, Protocol

import numpy as np

from .catalogue import DataError
from .epochs import Batch

Shape = tuple[int, ...]  # a width for each part of an example

MULTIPLE = 4  # widths are rounded up to it


class Examples(Protocol):
    """What batches are made of."""

    @property
    def widths(self) -> np.ndarray:
        """Widths int [N, W] that each of N examples needs."""

    def batch(self, places: np.ndarray, shape: Shape, batch_size: int) -> Batch:
        """Batch of the examples at some places, padded to a shape.

        Rows after the last of them, up to batch_size, are padding throughout.
        """


def padded(rows: Sequence[Sequence[int] | np.ndarray], width: int) -> np.ndarray:
    """Rows of ids as int32 [N, width], 0 after the end of each."""
    lengths = np.array([len(row) for row in rows], np.int32)
    out = np.zeros((len(rows), width), np.int32)
    flat = np.fromiter(chain.from_iterable(rows), np.int32, count=int(lengths.sum()))
    out[np.arange(width) < lengths[:, None]] = flat
    return out


def make_shapes(needed: np.ndarray, count: int) -> tuple[Shape, ...]:
    """The `count` shapes, or fewer, that leave the least padding for widths [N, W].

    Examples are ranked by their largest width and cut into groups; the widths of a shape are what
    its group and those before it need, rounded up to a multiple of 4, so the shapes grow. The cuts
    are the best there are, by dynamic programming over all multiples of 4.
    """
    bounds, sizes = np.unique(_round_up(needed.max(axis=1)), return_counts=True)
    inside = [needed[needed.max(axis=1) <= bound].max(axis=0) for bound in bounds]
    area = _round_up(np.array(inside)).sum(axis=1)
    before = np.concatenate([[0], np.cumsum(sizes)])  # examples in the bounds before
    # best[j]: the least area of the first j bounds, and the bounds that end its groups
    best: list[tuple[float, tuple[int, ...]]] = [(0, ()), *[(np.inf, ())] * len(bounds)]
    for _ in range(count):
        best = [best[0]] + [
            min(
                (best[i][0] + float((before[j] - before[i]) * area[j - 1]), (*best[i][1], j - 1))
                for i in range(j)
            )
            for j in range(1, len(best))
        ]
    return tuple(_shape(inside[j]) for j in best[-1][1])


def assign(needed: np.ndarray, shapes: Sequence[Shape]) -> np.ndarray:
    """Number int [N] of the first shape with room for widths [N, W]; len(shapes) where none has."""
    fits = np.all(needed[:, None] <= np.array(shapes), axis=-1)
    return np.where(np.any(fits, axis=1), np.argmax(fits, axis=1), len(shapes))


def fill_batches(groups: Sequence[np.ndarray], batch_size: int) -> list[tuple[int, np.ndarray]]:
    """Cut groups of places into (group, places) of `batch_size` each.

    What is left over of a group is padded with the next one, whose shape has room for it: only the
    very last batch may have fewer places.
    """
    batches = []
    left = np.zeros(0, np.int64)
    for number, group in enumerate(groups):
        places = np.concatenate([left, group])
        whole = len(places) if number == len(groups) - 1 else len(places) // batch_size * batch_size
        starts = range(0, whole, batch_size)
        batches += [(number, places[start : start + batch_size]) for start in starts]
        left = places[whole:]
    return batches


@dataclass(frozen=True)
class TrainingBuckets:
    """step -> batch, every example exactly once in an epoch, a function of (seed, step).

    An epoch takes ceil(N / B) steps. Examples with a width above `longest` are left out; `too_long`
    counts them. In an epoch each bucket is shuffled, then the order of the batches. What is left
    over of a bucket goes into the next one, and the last batch of the longest bucket is filled up
    with rows that are padding throughout: B is the same at every step. Raises DataError when all
    examples are too long.
    """

    examples: Examples
    batch_size: int
    seed: int
    longest: int = 100
    buckets: int = 5

    def __post_init__(self):
        """Check that there is an example."""
        if not len(self.kept):
            raise DataError(
                f"none of the {len(self.examples.widths)} training examples has all widths "
                f"{self.longest} or less"
            )

    @cached_property
    def kept(self) -> np.ndarray:
        """Places int [N] of the examples that are not too long."""
        return np.flatnonzero((self.examples.widths <= self.longest).all(axis=1))

    @property
    def too_long(self) -> int:
        """Examples that are left out."""
        return len(self.examples.widths) - len(self.kept)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.kept) // self.batch_size)

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """Every shape that a batch may have, growing."""
        return make_shapes(self.examples.widths[self.kept], self.buckets)

    @cached_property
    def _groups(self) -> list[np.ndarray]:
        numbers = assign(self.examples.widths[self.kept], self.shapes)
        return [self.kept[numbers == n] for n in range(len(self.shapes))]

    @cached_property
    def _order(self) -> np.ndarray:
        return np.concatenate(self._groups)

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step."""
        epoch, within = divmod(step, self.steps_per_epoch)
        sizes = tuple(map(len, self._groups))
        number, places = epoch_batches(self.seed, epoch, sizes, self.batch_size)[within]
        return self.examples.batch(self._order[places], self.shapes[number], self.batch_size)


@lru_cache(maxsize=4)
def epoch_batches(
    seed: int, epoch: int, sizes: tuple[int, ...], batch_size: int
) -> list[tuple[int, np.ndarray]]:
    """Batches (group, places) of groups of these sizes: a pure function of (seed, epoch).

    Places count through all groups, one after the other.
    """
    rng = np.random.default_rng((seed, epoch))
    ends = np.cumsum(sizes)
    shuffled = [end - size + rng.permutation(size) for size, end in zip(sizes, ends, strict=True)]
    batches = fill_batches(shuffled, batch_size)
    return [batches[i] for i in rng.permutation(len(batches))]


@dataclass(frozen=True)
class EvaluationBuckets:
    """Batches of all examples, short ones first, in the training's shapes; adds "index" int32 [B].

    "index" is the place of an example, -1 in rows that fill up the last batch. Examples too long
    for all shapes get a further one, as wide as the longest needs, rounded up.
    """

    examples: Examples
    batch_size: int
    shapes: tuple[Shape, ...]

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order."""
        needed = self.examples.widths
        numbers = assign(needed, self.shapes)
        widest = np.max([*needed[numbers == len(self.shapes)], self.shapes[-1]], axis=0)
        shapes = [*self.shapes, _shape(widest)]
        groups = [np.flatnonzero(numbers == n) for n in range(numbers.max(initial=-1) + 1)]
        for number, places in fill_batches(groups, self.batch_size):
            batch = self.examples.batch(places, shapes[number], self.batch_size)
            index = np.full(self.batch_size, -1, np.int32)
            index[: len(places)] = places
            yield {**batch, "index": index}


def in_order(batches: Iterable[Batch], count: int, answer: Callable[[Batch], Iterable]) -> list:
    """Entries of answer(batch), one for each row, at the places that "index" of a batch tells."""
    found: list[Any] = [None] * count
    for batch in batches:
        for place, entry in zip(batch["index"], answer(batch), strict=True):
            if place >= 0:
                found[place] = entry
    return found


def _round_up(width):
    return -(-width // MULTIPLE) * MULTIPLE


def _shape(widths: np.ndarray) -> Shape:
    return tuple(map(int, _round_up(widths)))
