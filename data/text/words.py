"""Corpora of words: sentences, and the words of a vocabulary by their frequency.

A sentence is a line of a prepared text (the form of the Penn Treebank, words between spaces), or in
prose what ends with . ! ? or an empty line. There is no word for the end of a sentence, for no
window crosses it. A word that is too rare is dropped before windows are cut, as in word2vec, or
counted as <unk> with all other such words; an <unk> that stands in a text is a word like any other.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..catalogue import DataError
from .corpus import SPLITS, load_text, read_path

UNKNOWN, END = "<unk>", "<eos>"
RARE = ("drop", UNKNOWN)
NAMES = {
    "train": {"train"},
    "validation": {"valid", "validation", "val", "dev"},
    "test": {"test"},
}

Sentence = list[str]


@dataclass(frozen=True)
class WordCorpus:
    """Sentences of each split."""

    train: list[Sentence]
    validation: list[Sentence]
    test: list[Sentence]

    @property
    def held_out(self) -> dict[str, list[Sentence]]:
        """The splits that are not trained on, by name."""
        return {"validation": self.validation, "test": self.test}

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the three splits, a line a sentence, with an empty line after each."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            digest.update(as_text(split).encode() + b"\n")
        return digest.hexdigest()


def load_words(name: str, data_dir: str = "") -> WordCorpus:
    """Corpus of a name: `words:FOLDER` with prepared train, valid and test files, or prose.

    Prose is any name that `load_text` knows; its words are put into lower case. Raises DataError
    when there is no such corpus or a split has no words.
    """
    if name.startswith("words:"):
        folder = Path(name.removeprefix("words:")).expanduser()
        texts = [read_path(the_file(folder, "words", split)) for split in SPLITS]
        parts = [[line.split() for line in text.split("\n")] for text in texts]
    else:
        text = load_text(name, data_dir)
        parts = [sentences_of(part) for part in (text.train, text.validation, text.test)]
    parts = [[words for words in part if words] for part in parts]
    for split, part in zip(SPLITS, parts, strict=True):
        if not part:
            raise DataError(f"the {split} split of {name} has no words")
    return WordCorpus(*parts)


def sentences_of(text: str) -> list[Sentence]:
    """Words of each sentence of prose in lower case; marks between words are left out."""
    pieces = re.split(r"(?<=[.!?])\s+|\n\s*\n", text.lower())
    return [re.findall(r"\w+(?:['’]\w+)*", piece) for piece in pieces]


def split_files(folder: Path, form: str) -> dict[str, list[Path]]:
    """Files of a folder by the split that their names say; DataError when there is no folder."""
    if not folder.is_dir():
        raise DataError(f"{form}: needs a folder after it, {str(folder)!r} is none")
    there = sorted(path for path in folder.iterdir() if path.is_file())
    named = {path: set(re.split(r"[^a-z]", path.name.lower())) for path in there}
    return {
        split: [path for path in there if names & named[path]] for split, names in NAMES.items()
    }


def the_file(folder: Path, form: str, split: str) -> Path:
    """The one file of a folder whose name says that it is a split; DataError when it is not one."""
    found = split_files(folder, form)[split]
    if len(found) != 1:
        there = found or sorted(path for path in folder.iterdir() if path.is_file())
        listed = ", ".join(path.name for path in there) or "nothing"
        wanted = " or ".join(sorted(NAMES[split]))
        raise DataError(f"{folder} needs one file with {wanted} in its name, found {listed}")
    return found[0]


class Tokens(NamedTuple):
    """Ids int32 [N] of the words of a text, and the number of each one's sentence, int32 [N]."""

    ids: np.ndarray
    sentence: np.ndarray


@dataclass(frozen=True)
class WordVocabulary:
    """Words, the most frequent first, and how often each occurs, int64 [V]."""

    words: tuple[str, ...]
    counts: np.ndarray

    @classmethod
    def of(cls, sentences: Iterable[Sentence], minimum: int, rare: str) -> "WordVocabulary":
        """Vocabulary of the words that occur `minimum` times or more; rare: one of RARE.

        Raises DataError when there are fewer than two.
        """
        counts = Counter(word for words in sentences for word in words)
        known = {word: count for word, count in counts.items() if count >= minimum}
        if rare == UNKNOWN and (other := counts.total() - sum(known.values())):
            known[UNKNOWN] = known.get(UNKNOWN, 0) + other
        if len(known) < 2:
            raise DataError(
                f"of {len(counts)} words, {len(known)} occur {minimum} times or more; 2 are needed"
            )
        ranked = sorted(known.items(), key=lambda pair: (-pair[1], pair[0]))
        words, numbers = zip(*ranked, strict=True)
        return cls(words, np.array(numbers, np.int64))

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def index(self) -> dict[str, int]:
        """Id of each word."""
        return {word: i for i, word in enumerate(self.words)}

    @property
    def padded_size(self) -> int:
        """Ids of `padded_id`: those of the words, of padding and of the unknown word."""
        return len(self) + 2

    def padded_id(self, word: str) -> int:
        """Id of a word in sentences that are padded with 0; 1 for a word outside."""
        return self.index.get(word, -1) + 2

    def encode(self, sentences: Iterable[Sentence], rare: str) -> Tokens:
        """Ids of a text; words outside the vocabulary are dropped, or <unk> where that is one."""
        other = self.index.get(UNKNOWN, -1) if rare == UNKNOWN else -1
        ids, numbers = [], []
        for number, words in enumerate(sentences):
            found = [self.index.get(word, other) for word in words]
            kept = [i for i in found if i >= 0]
            ids += kept
            numbers += [number] * len(kept)
        return Tokens(np.array(ids, np.int32), np.array(numbers, np.int32))


@dataclass(frozen=True)
class RunningWords:
    """A text of words as one sequence, with END for the end of each line.

    Words outside the vocabulary count as <unk>; DataError where that is no word of it.
    """

    vocabulary: WordVocabulary

    @classmethod
    def of(cls, sentences: Sequence[Sentence], minimum: int) -> "RunningWords":
        """Vocabulary of the words that occur `minimum` times or more, and END."""
        ended = [[*words, END] for words in sentences]
        return cls(WordVocabulary.of(ended, minimum, UNKNOWN))

    def __len__(self) -> int:
        return len(self.vocabulary)

    def encode(self, text: str) -> np.ndarray:
        """Ids int32 [N] of words between spaces, lines ended by END."""
        words = text.replace("\n", f" {END} ").split()
        index = self.vocabulary.index
        try:
            return np.array([index[w] if w in index else index[UNKNOWN] for w in words], np.int32)
        except KeyError:
            lost = next(word for word in words if word not in index)
            raise DataError(
                f"there is no {UNKNOWN} in the vocabulary for {lost!r}: a higher config.minimum "
                "makes one of the rare words"
            ) from None

    def unknown(self, text: str) -> str:
        """Words of a text that are not in the vocabulary."""
        return " ".join(sorted(set(text.split()) - set(self.vocabulary.index)))

    def decode(self, ids) -> str:
        """Text of ids."""
        words = [self.vocabulary.words[i] for i in ids]
        return re.sub(f" ?{END} ?", "\n", " ".join(words))


def as_text(sentences: Iterable[Sentence]) -> str:
    """A line a sentence, each ended."""
    return "".join(" ".join(words) + "\n" for words in sentences)
