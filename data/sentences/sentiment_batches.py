"""Labelled sentences as examples for `data.buckets`.

Every batch has "words" int32 [B, T], 0 padding and 1 unknown; "lengths" int32 [B], 0 in rows that
only fill the batch; "label" int32 [B]; "mask" float32 [B], 1 = counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..buckets import Shape, pad_rows
from ..epochs import Batch
from ..text.words import WordVocabulary
from .sentiment import LabelledSentence


@dataclass(frozen=True)
class LabelledIds:
    """Sentences of word ids and their labels int32 [N] as examples, with widths [N, 1]."""

    words: Sequence[Sequence[int]]
    labels: np.ndarray

    @classmethod
    def from_sentences(
        cls, sentences: Iterable[LabelledSentence], vocabulary: WordVocabulary
    ) -> "LabelledIds":
        """Ids of sentences; those of the words of the vocabulary begin at 2."""
        ids, labels = [], []
        for words, label in sentences:
            ids.append([vocabulary.padded_id(word) for word in words])
            labels.append(label)
        return cls(ids, np.array(labels, np.int32))

    @cached_property
    def widths(self) -> np.ndarray:
        """Number of words of each sentence, int32 [N, 1]."""
        return np.array([len(words) for words in self.words], np.int32).reshape(-1, 1)

    def batch(self, indices: np.ndarray, shape: Shape, batch_size: int) -> Batch:
        """Return the batch of the sentences at `indices`."""
        fill = batch_size - len(indices)
        rows = [*(self.words[i] for i in indices), *[()] * fill]
        return {
            "words": pad_rows(rows, shape[0]),
            "lengths": np.pad(self.widths[indices, 0], (0, fill)),
            "label": np.pad(self.labels[indices], (0, fill)),
            "mask": (np.arange(batch_size) < len(indices)).astype(np.float32),
        }
