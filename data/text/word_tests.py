"""Published tests of word vectors: pairs with a similarity (WordSim-353), and analogies."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..catalogue import DataError
from .corpus import read_path
from .words import WordVocabulary


class Similarities(NamedTuple):
    """Ids int32 [N, 2] of pairs of words, and how similar people find them, float64 [N]."""

    pairs: np.ndarray
    human: np.ndarray


def load_similarities(path: Path, vocabulary: WordVocabulary) -> Similarities:
    """Pairs of a file whose words are all known, read in lower case.

    A line is two words and a number, between commas, tabs or spaces; one first line without a
    number is a head. Raises DataError when it is another file or fewer than three pairs are known.
    """
    pairs, human = [], []
    lines = read_path(path).splitlines()
    for number, line in enumerate(lines, 1):
        cells = line.replace(",", " ").replace("\t", " ").lower().rsplit(maxsplit=1)
        words = cells[0].split() if len(cells) == 2 else []
        try:
            value = float(cells[-1]) if line.strip() else None
        except ValueError:
            value = None
        if value is None or len(words) != 2:
            if number == 1 or not line.strip():
                continue
            raise DataError(f"line {number} of {path} is not two words and a number: {line[:60]!r}")
        if ids := _known(words, vocabulary):
            pairs.append(ids)
            human.append(value)
    if len(pairs) < 3:
        raise DataError(f"the vocabulary has both words of {len(pairs)} pairs of {path}, 3 needed")
    return Similarities(np.array(pairs, np.int32), np.array(human))


def load_analogies(path: Path, vocabulary: WordVocabulary) -> np.ndarray:
    """Ids int32 [N, 4] of the questions of a file "a is to b as c is to d" whose words are known.

    A line is four words, read in lower case, or a section's name after a colon. Raises DataError
    when it is another file or no question is known.
    """
    questions = []
    for number, line in enumerate(read_path(path).splitlines(), 1):
        words = line.lower().split()
        if line.startswith(":") or not words:
            continue
        if len(words) != 4:
            raise DataError(f"line {number} of {path} is not four words: {line[:60]!r}")
        if ids := _known(words, vocabulary):
            questions.append(ids)
    if not questions:
        raise DataError(f"the vocabulary has all words of no question of {path}")
    return np.array(questions, np.int32)


def _known(words: list[str], vocabulary: WordVocabulary) -> list[int]:
    """Ids of words, or none at all when one is unknown."""
    ids = [vocabulary.index.get(word, -1) for word in words]
    return ids if min(ids) >= 0 else []
