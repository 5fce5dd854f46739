"""Sentence pairs as examples for `data.buckets`.

Every batch has "source" int32 [B, S], the tokens and the end of the sentence, padded with 0;
"source_lengths" int32 [B], 0 in rows that only fill the batch; "inputs" int32 [B, T], begin symbol
and target tokens; "targets" int32 [B, T], target tokens and end symbol; "mask" float32 [B, T], 1 =
counts. The width T depends on the references: a decoder must not take its length limit from it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..buckets import EvaluationBuckets, Shape, pad_rows
from ..epochs import Batch
from ..text.vocabulary import BEGIN, END

IdPair = tuple[Sequence[int], Sequence[int]]


def make_batch(pairs: Sequence[IdPair], shape: Shape, batch_size: int) -> Batch:
    """Batch with the keys above; rows after the last pair are all padding."""
    fill: list[list[int]] = [[]] * (batch_size - len(pairs))
    sources = [[*x, END] for x, _ in pairs] + fill
    targets = [[*y, END] for _, y in pairs] + fill
    lengths = np.array([len(y) for y in targets], np.int32)
    return {
        "source": pad_rows(sources, shape[0]),
        "source_lengths": np.array([len(x) for x in sources], np.int32),
        "inputs": pad_rows([[BEGIN, *y] for _, y in pairs] + fill, shape[1]),
        "targets": pad_rows(targets, shape[1]),
        "mask": (np.arange(shape[1]) < lengths[:, None]).astype(np.float32),
    }


def widths(pairs: Iterable[IdPair]) -> np.ndarray:
    """Lengths int32 [N, 2] of sources and targets, including the end of the sentence."""
    counts = [(len(x) + 1, len(y) + 1) for x, y in pairs]
    return np.array(counts, np.int32).reshape(-1, 2)


@dataclass(frozen=True)
class IdPairs:
    """Pairs of ids as examples, with the widths [N, 2] of source and target."""

    pairs: Sequence[IdPair]

    @cached_property
    def widths(self) -> np.ndarray:
        """Lengths of sources and targets, including the end of the sentence."""
        return widths(self.pairs)

    def batch(self, indices: np.ndarray, shape: Shape, batch_size: int) -> Batch:
        """Return the batch of the pairs at `indices`."""
        return make_batch([self.pairs[i] for i in indices], (shape[0], shape[1]), batch_size)


def source_buckets(
    sources: Sequence[Sequence[int]], batch_size: int, shapes: tuple[Shape, ...]
) -> EvaluationBuckets:
    """Batches of sentences without translations: the targets contain only the end symbol."""
    return EvaluationBuckets(IdPairs([(x, ()) for x in sources]), batch_size, shapes)
