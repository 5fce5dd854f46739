"""Pairs of sentences as examples of `data.buckets`.

Every batch has "source" int32 [B, S], the tokens and the end of the sentence, padded with 0;
"source_lengths" int32 [B], 0 in rows that only fill the batch; "inputs" int32 [B, T], begin and the
target's tokens; "targets" int32 [B, T], its tokens and the end; "mask" float32 [B, T], 1 = counts.
The width T of a batch follows from the references: a decoder must not take its limit from it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..buckets import EvaluationBuckets, Shape, padded
from ..epochs import Batch
from ..text.subwords import BEGIN, END

IdPair = tuple[Sequence[int], Sequence[int]]


def make_batch(pairs: Sequence[IdPair], shape: Shape, batch_size: int) -> Batch:
    """Batch of the keys above; rows after the last pair are padding throughout."""
    fill: list[list[int]] = [[]] * (batch_size - len(pairs))
    sources = [[*x, END] for x, _ in pairs] + fill
    targets = [[*y, END] for _, y in pairs] + fill
    lengths = np.array([len(y) for y in targets], np.int32)
    return {
        "source": padded(sources, shape[0]),
        "source_lengths": np.array([len(x) for x in sources], np.int32),
        "inputs": padded([[BEGIN, *y] for _, y in pairs] + fill, shape[1]),
        "targets": padded(targets, shape[1]),
        "mask": (np.arange(shape[1]) < lengths[:, None]).astype(np.float32),
    }


def widths(pairs: Iterable[IdPair]) -> np.ndarray:
    """Widths int32 [N, 2] that source and target need, the end of the sentence counted."""
    counts = [(len(x) + 1, len(y) + 1) for x, y in pairs]
    return np.array(counts, np.int32).reshape(-1, 2)


@dataclass(frozen=True)
class IdPairs:
    """Pairs of ids as examples: widths [N, 2], those of source and target."""

    pairs: Sequence[IdPair]

    @cached_property
    def widths(self) -> np.ndarray:
        """Widths that source and target need, the end of the sentence counted."""
        return widths(self.pairs)

    def batch(self, places: np.ndarray, shape: Shape, batch_size: int) -> Batch:
        """Return the batch of the pairs at some places."""
        return make_batch([self.pairs[i] for i in places], (shape[0], shape[1]), batch_size)


def source_buckets(
    sources: Sequence[Sequence[int]], batch_size: int, shapes: tuple[Shape, ...]
) -> EvaluationBuckets:
    """Batches of sentences without a translation: the targets hold the end alone."""
    return EvaluationBuckets(IdPairs([(x, ()) for x in sources]), batch_size, shapes)
