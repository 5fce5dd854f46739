"""Rated sentences as examples of `data.buckets`.

Every batch has "words" int32 [B, T], 0 padding and 1 unknown; "lengths" int32 [B], 0 in rows that
only fill the batch; "label" int32 [B]; "mask" float32 [B], 1 = counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..buckets import Shape, padded
from ..epochs import Batch
from ..text.words import WordVocabulary
from .rated import Rated


@dataclass(frozen=True)
class RatedIds:
    """Sentences of ids and their labels as examples: widths [N, 1]."""

    words: Sequence[Sequence[int]]
    labels: np.ndarray

    @classmethod
    def of(cls, sentences: Iterable[Rated], vocabulary: WordVocabulary) -> "RatedIds":
        """Ids of sentences: the words of a vocabulary from 2 on."""
        ids, labels = [], []
        for words, label in sentences:
            ids.append([vocabulary.padded_id(word) for word in words])
            labels.append(label)
        return cls(ids, np.array(labels, np.int32))

    @cached_property
    def widths(self) -> np.ndarray:
        """Words int32 [N, 1] of each sentence."""
        return np.array([len(words) for words in self.words], np.int32).reshape(-1, 1)

    def batch(self, places: np.ndarray, shape: Shape, batch_size: int) -> Batch:
        """Return the batch of the sentences at some places."""
        fill = batch_size - len(places)
        rows = [*(self.words[i] for i in places), *[()] * fill]
        return {
            "words": padded(rows, shape[0]),
            "lengths": np.pad(self.widths[places, 0], (0, fill)),
            "label": np.pad(self.labels[places], (0, fill)),
            "mask": (np.arange(batch_size) < len(places)).astype(np.float32),
        }
