"""Tagged sentences as examples of `data.buckets`.

Every batch has "words" int32 [B, T] and, where words are spelled, "spellings" int32 [B, T, L], both
0 padding and 1 unknown; "tags" int32 [B, T], 0 in the padding; "lengths" int32 [B], 0 in rows that
only fill the batch; "mask" float32 [B, T], 1 = counts.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..buckets import Shape, padded
from ..epochs import Batch
from ..text.corpus import Vocabulary as Letters
from ..text.words import WordVocabulary
from .tagged import Sentence, TaggedCorpus


@dataclass(frozen=True)
class TaggedIds:
    """Sentences of ids as examples: widths [N, 1]. spellings: int32 [T, L] of each, or empty."""

    words: Sequence[np.ndarray]
    spellings: Sequence[np.ndarray]
    tags: Sequence[np.ndarray]

    @cached_property
    def widths(self) -> np.ndarray:
        """Words int32 [N, 1] of each sentence."""
        return np.array([len(words) for words in self.words], np.int32).reshape(-1, 1)

    def batch(self, places: np.ndarray, shape: Shape, batch_size: int) -> Batch:
        """Return the batch of the sentences at some places."""
        fill = [np.zeros(0, np.int32)] * (batch_size - len(places))
        lengths = np.zeros(batch_size, np.int32)
        lengths[: len(places)] = self.widths[places, 0]
        real = np.arange(shape[0]) < lengths[:, None]
        batch = {
            "words": padded([*(self.words[i] for i in places), *fill], shape[0]),
            "tags": padded([*(self.tags[i] for i in places), *fill], shape[0]),
            "lengths": lengths,
            "mask": real.astype(np.float32),
        }
        if self.spellings:
            spelled = np.concatenate([self.spellings[i] for i in places])
            batch["spellings"] = np.zeros((*real.shape, spelled.shape[1]), np.int32)
            batch["spellings"][real] = spelled
        return batch


@dataclass(frozen=True)
class Vocabularies:
    """Ids of words, of their letters and of tags.

    fold: words are known in lower case and with every digit as 0; spellings keep both. letters: of
    a spelling; of a longer word, the first and the last halves of them; 0: words are not spelled.
    """

    words: WordVocabulary
    alphabet: Letters
    tags: tuple[str, ...]
    fold: bool
    letters: int

    @classmethod
    def of(cls, corpus: TaggedCorpus, minimum: int, fold: bool, letters: int) -> "Vocabularies":
        """Vocabularies of what is trained on: words that occur `minimum` times or more.

        Raises DataError when there are fewer than two of them, or the test has another tag.
        """
        folded = {word: _folded(word, fold) for words, _ in corpus.train for word in set(words)}
        sentences = ([folded[word] for word in words] for words, _ in corpus.train)
        known = WordVocabulary.of(sentences, minimum, "drop")
        return cls(known, Letters.of("".join(folded), 10_000), corpus.tags, fold, letters)

    @property
    def word_ids(self) -> int:
        """Ids of words, padding and the unknown word among them."""
        return self.words.padded_size

    @property
    def letter_ids(self) -> int:
        """Ids of letters, padding and the unknown letter among them; 0 when there are none."""
        return len(self.alphabet) if self.letters else 0

    def encode(self, sentences: Iterable[Sentence]) -> TaggedIds:
        """Ids of sentences."""
        sentences = list(sentences)
        words = {word for words, _ in sentences for word in words}
        known = {word: self.word(word) for word in words}
        spelled = {word: self.spell(word) for word in words} if self.letters else {}
        tag_ids = {tag: number for number, tag in enumerate(self.tags)}
        return TaggedIds(
            [np.array([known[word] for word in words], np.int32) for words, _ in sentences],
            [np.array([spelled[word] for word in words]) for words, _ in sentences if spelled],
            [np.array([tag_ids[tag] for tag in tags], np.int32) for _, tags in sentences],
        )

    def word(self, word: str) -> int:
        """Id of a word."""
        return self.words.padded_id(_folded(word, self.fold))

    def spell(self, word: str) -> np.ndarray:
        """Ids int32 [L] of the letters of a word, 0 after its end."""
        half = self.letters // 2
        if len(word) > self.letters:
            word = word[: self.letters - half] + word[len(word) - half :]
        ids = np.zeros(self.letters, np.int32)
        ids[: len(word)] = self.alphabet.encode(word)
        return ids


def _folded(word: str, fold: bool) -> str:
    return re.sub(r"\d", "0", word.lower()) if fold else word
