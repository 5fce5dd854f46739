"""Corpora of words: sentences of words, and word vocabularies by frequency.

A sentence is a line of a prepared text (in the form of the Penn Treebank, words between spaces); in
prose it ends at . ! ? or at an empty line. The end of a sentence is not a word, because no context
window crosses it. Rare words are either dropped before windows are cut, as in word2vec, or all
replaced by <unk>; an <unk> in the text itself is an ordinary word.
"""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import regex  # its \w includes combining marks and joiners

from ..catalogue import DataError
from ..forms.files import SPLIT_NAMES, split_files
from ..forms.folders import files_in
from .corpus import FORMS as TEXT_FORMS
from .corpus import SPLITS, load_text, read_path

UNKNOWN, END = "<unk>", "<eos>"
FIRST_WORD = 2  # `padded_id` of the first word, after padding and the unknown word
RARE = ("drop", UNKNOWN)
FORMS = ("words:FOLDER", *TEXT_FORMS)

Sentence = list[str]


@dataclass(frozen=True)
class WordCorpus:
    """Sentences of each split."""

    train: list[Sentence]
    validation: list[Sentence]
    test: list[Sentence]

    @property
    def held_out(self) -> dict[str, list[Sentence]]:
        """The validation and test splits by name."""
        return {"validation": self.validation, "test": self.test}

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the three splits, one sentence per line, an empty line after each split."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            digest.update(as_text(split).encode() + b"\n")
        return digest.hexdigest()


def load_words(name: str, data_dir: str = "") -> WordCorpus:
    """Corpus by name: `words:FOLDER` with prepared train, valid and test files, or prose.

    Prose is any name that `load_text` accepts; its words are converted to lower case, and a row of
    a table ends a sentence. Raises DataError when there is no such corpus or a split has no words.
    """
    if name.startswith("words:"):
        folder = Path(os.path.expanduser(name.removeprefix("words:")))
        texts = [read_path(find_split_file(folder, "words", split)) for split in SPLITS]
        splits = [[line.split() for line in text.split("\n")] for text in texts]
    else:
        corpus = load_text(name, data_dir, forms=FORMS, end="\n\n")
        splits = [split_sentences(t) for t in (corpus.train, corpus.validation, corpus.test)]
    splits = [[words for words in sentences if words] for sentences in splits]
    for split, sentences in zip(SPLITS, splits, strict=True):
        if not sentences:
            raise DataError(f"the {split} split of {name} has no words")
    return WordCorpus(*splits)


def split_sentences(text: str) -> list[Sentence]:
    """Words of each sentence of prose, in lower case, without the punctuation between them.

    >>> split_sentences("It's late. Go home!")
    [["it's", 'late'], ['go', 'home']]
    """
    pieces = re.split(r"(?<=[.!?])\s+|\n\s*\n", text.lower())
    return [regex.findall(r"\w+(?:['’]\w+)*", piece) for piece in pieces]


def find_split_file(folder: Path, form: str, split: str) -> Path:
    """The file of a folder with a split in its name; DataError unless there is exactly one."""
    matches = split_files(folder, form)[split]
    if len(matches) != 1:
        files = matches or files_in(folder)
        listed = ", ".join(path.name for path in files) or "nothing"
        names = " or ".join(sorted(SPLIT_NAMES[split]))
        raise DataError(f"{folder} needs one file with {names} in its name, found {listed}")
    return matches[0]


class Tokens(NamedTuple):
    """Ids int32 [N] of the words of a text, and the sentence number of each word, int32 [N]."""

    ids: np.ndarray
    sentence: np.ndarray


@dataclass(frozen=True)
class WordVocabulary:
    """Words by decreasing frequency, and their counts int64 [V]."""

    words: tuple[str, ...]
    counts: np.ndarray

    @classmethod
    def from_sentences(
        cls, sentences: Iterable[Sentence], minimum: int, rare: str
    ) -> "WordVocabulary":
        """Vocabulary of the words that occur at least `minimum` times; rare: one of RARE.

        Raises DataError when there are fewer than two.
        """
        counts = Counter(word for words in sentences for word in words)
        frequent = {word: count for word, count in counts.items() if count >= minimum}
        if rare == UNKNOWN and (remaining := counts.total() - sum(frequent.values())):
            frequent[UNKNOWN] = frequent.get(UNKNOWN, 0) + remaining
        if len(frequent) < 2:
            raise DataError(
                f"{len(frequent)} of {len(counts)} words occur at least {minimum} times; "
                "a vocabulary needs 2"
            )
        ranked = sorted(frequent.items(), key=lambda pair: (-pair[1], pair[0]))
        words, ranked_counts = zip(*ranked, strict=True)
        return cls(words, np.array(ranked_counts, np.int64))

    @classmethod
    def from_bytes(cls, content: bytes) -> "WordVocabulary":
        """Vocabulary of `to_bytes`."""
        words, counts = json.loads(content)
        return cls(tuple(words), np.array(counts, np.int64))

    def to_bytes(self) -> bytes:
        """Return the words and their counts in JSON."""
        return json.dumps([self.words, self.counts.tolist()], ensure_ascii=False).encode()

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def index(self) -> dict[str, int]:
        """Id of each word."""
        return {word: i for i, word in enumerate(self.words)}

    @property
    def padded_size(self) -> int:
        """Number of ids of `padded_id`: one per word, padding and the unknown word."""
        return len(self) + FIRST_WORD

    def padded_id(self, word: str) -> int:
        """Id of a word in sentences padded with 0; 1 for a word outside the vocabulary."""
        return FIRST_WORD + self.index[word] if word in self.index else 1

    def encode(self, sentences: Iterable[Sentence], rare: str) -> Tokens:
        """Ids of a text; unknown words are dropped, or become <unk> if the vocabulary has it."""
        unknown = self.index.get(UNKNOWN, -1) if rare == UNKNOWN else -1
        ids, numbers = [], []
        for number, words in enumerate(sentences):
            word_ids = [self.index.get(word, unknown) for word in words]
            known_ids = [i for i in word_ids if i >= 0]
            ids += known_ids
            numbers += [number] * len(known_ids)
        return Tokens(np.array(ids, np.int32), np.array(numbers, np.int32))


@dataclass(frozen=True)
class RunningWords:
    """Vocabulary of a text as one sequence of words, with END after each line.

    Words outside the vocabulary become <unk>.
    """

    vocabulary: WordVocabulary

    @classmethod
    def from_sentences(cls, sentences: Sequence[Sentence], minimum: int) -> "RunningWords":
        """Vocabulary of the words that occur at least `minimum` times, and END."""
        lines = [[*words, END] for words in sentences]
        return cls(WordVocabulary.from_sentences(lines, minimum, UNKNOWN))

    @classmethod
    def from_bytes(cls, content: bytes) -> "RunningWords":
        """Vocabulary of `to_bytes`."""
        return cls(WordVocabulary.from_bytes(content))

    def to_bytes(self) -> bytes:
        """Return the words and their counts in JSON."""
        return self.vocabulary.to_bytes()

    def __len__(self) -> int:
        return len(self.vocabulary)

    def encode(self, text: str) -> np.ndarray:
        """Ids int32 [N] of the words between spaces, with END for each newline.

        Raises DataError at an unknown word when the vocabulary has no <unk>.
        """
        words = text.replace("\n", f" {END} ").split()
        index = self.vocabulary.index
        try:
            return np.array([index[w] if w in index else index[UNKNOWN] for w in words], np.int32)
        except KeyError:
            unknown = next(word for word in words if word not in index)
            raise DataError(
                f"{unknown!r} is unknown and the vocabulary has no {UNKNOWN}: a higher "
                "config.min_count replaces the rare words with it"
            ) from None

    @property
    def unknown_ids(self) -> tuple[int, ...]:
        """Id of <unk>, if the vocabulary has it."""
        index = self.vocabulary.index
        return (index[UNKNOWN],) if UNKNOWN in index else ()

    def unknown(self, text: str) -> str:
        """Words of a text that are not in the vocabulary."""
        return " ".join(sorted(set(text.split()) - set(self.vocabulary.index)))

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids."""
        words = [self.vocabulary.words[i] for i in ids]
        return re.sub(f" ?{END} ?", "\n", " ".join(words))


def as_text(sentences: Iterable[Sentence]) -> str:
    """Text with one sentence per line, each ended by a newline."""
    return "".join(" ".join(words) + "\n" for words in sentences)
