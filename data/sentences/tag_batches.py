"""Tagged sentences as examples for `data.buckets`.

Every batch has "words" int32 [B, T] and optionally character ids "spellings" int32 [B, T, L], both
with 0 for padding and 1 for unknown; "tags" int32 [B, T], 0 in the padding, UNSEEN for a tag that
the training data lacks; "lengths" int32 [B], 0 in rows that only fill the batch; "mask" float32
[B, T], 1 = counts.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..buckets import Shape, pad_rows
from ..epochs import Batch
from ..text.corpus import Vocabulary as Characters
from ..text.words import WordVocabulary
from .tag_files import Sentence
from .tagged import TaggedCorpus

UNSEEN = -1  # id of a tag that is not among the known ones


@dataclass(frozen=True)
class TaggedIds:
    """Sentences of ids as examples, with widths [N, 1].

    spellings: character ids int32 [T, L] of each sentence, or an empty sequence.
    """

    words: Sequence[np.ndarray]
    spellings: Sequence[np.ndarray]
    tags: Sequence[np.ndarray]

    @cached_property
    def widths(self) -> np.ndarray:
        """Number of words of each sentence, int32 [N, 1]."""
        return np.array([len(words) for words in self.words], np.int32).reshape(-1, 1)

    def batch(self, indices: np.ndarray, shape: Shape, batch_size: int) -> Batch:
        """Return the batch of the sentences at `indices`."""
        fill = [np.zeros(0, np.int32)] * (batch_size - len(indices))
        lengths = np.zeros(batch_size, np.int32)
        lengths[: len(indices)] = self.widths[indices, 0]
        valid = np.arange(shape[0]) < lengths[:, None]
        batch = {
            "words": pad_rows([*(self.words[i] for i in indices), *fill], shape[0]),
            "tags": pad_rows([*(self.tags[i] for i in indices), *fill], shape[0]),
            "lengths": lengths,
            "mask": valid.astype(np.float32),
        }
        if self.spellings:
            none = self.spellings[0][:0]  # there may be only padding
            spellings = np.concatenate([none, *(self.spellings[i] for i in indices)])
            batch["spellings"] = np.zeros((*valid.shape, spellings.shape[1]), np.int32)
            batch["spellings"][valid] = spellings
        return batch


@dataclass(frozen=True)
class Vocabularies:
    """Ids of words, of their characters, and of tags.

    fold: words are looked up in lower case with every digit as 0; spellings are not folded.
    letters: length of a spelling; a longer word keeps the characters at its two ends; 0: no
    spellings. by_character: words are single characters. scheme: the tagging scheme, "" if the tags
    mark no spans.
    """

    words: WordVocabulary
    alphabet: Characters
    tags: tuple[str, ...]
    fold: bool
    letters: int
    by_character: bool
    scheme: str = ""

    @classmethod
    def from_corpus(
        cls, corpus: TaggedCorpus, minimum: int, fold: bool, letters: int
    ) -> "Vocabularies":
        """Vocabularies of the training sentences, with words that occur at least `minimum` times.

        Raises DataError when there are fewer than two such words.
        """
        folded = {word: _folded(word, fold) for words, _ in corpus.train for word in set(words)}
        sentences = ([folded[word] for word in words] for words, _ in corpus.train)
        words = WordVocabulary.from_sentences(sentences, minimum, "drop")
        alphabet = Characters.from_text("".join(folded), 10_000)
        by_character, scheme = corpus.by_character, corpus.scheme
        return cls(words, alphabet, corpus.tags, fold, letters, by_character, scheme)

    @classmethod
    def from_bytes(cls, content: bytes) -> "Vocabularies":
        """Vocabularies of `to_bytes`."""
        fields = json.loads(content)
        words = WordVocabulary.from_bytes(json.dumps(fields.pop("words")).encode())
        alphabet, tags = Characters(fields.pop("alphabet")), tuple(fields.pop("tags"))
        return cls(words, alphabet, tags, **fields)

    def to_bytes(self) -> bytes:
        """Return the vocabularies in JSON."""
        fields = {
            "words": json.loads(self.words.to_bytes()),
            "alphabet": self.alphabet.characters,
            "tags": self.tags,
            "fold": self.fold,
            "letters": self.letters,
            "by_character": self.by_character,
            "scheme": self.scheme,
        }
        return json.dumps(fields, ensure_ascii=False).encode()

    @property
    def word_ids(self) -> int:
        """Number of word ids, including padding and the unknown word."""
        return self.words.padded_size

    @property
    def letter_ids(self) -> int:
        """Number of character ids, including padding and unknown; 0 without spellings."""
        return len(self.alphabet) if self.letters else 0

    def encode(self, sentences: Iterable[Sentence]) -> TaggedIds:
        """Ids of sentences."""
        sentences = list(sentences)
        words = {word for words, _ in sentences for word in words}
        word_ids = {word: self.word_id(word) for word in words}
        spellings = {word: self.spell(word) for word in words} if self.letters else {}
        ids = {tag: number for number, tag in enumerate(self.tags)}
        tag_ids = [[ids.get(tag, UNSEEN) for tag in tags] for _, tags in sentences]
        return TaggedIds(
            [np.array([word_ids[word] for word in words], np.int32) for words, _ in sentences],
            [np.array([spellings[word] for word in words]) for words, _ in sentences if spellings],
            [np.array(row, np.int32) for row in tag_ids],
        )

    def word_id(self, word: str) -> int:
        """Id of a word."""
        return self.words.padded_id(_folded(word, self.fold))

    def spell(self, word: str) -> np.ndarray:
        """Ids int32 [L] of the characters of a word, 0 after its end."""
        half = self.letters // 2
        if len(word) > self.letters:
            word = word[: self.letters - half] + word[len(word) - half :]
        ids = np.zeros(self.letters, np.int32)
        ids[: len(word)] = self.alphabet.encode(word)
        return ids


def _folded(word: str, fold: bool) -> str:
    return re.sub(r"\d", "0", word.lower()) if fold else word
