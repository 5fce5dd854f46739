"""Published tests of word vectors: similarities of word pairs (WordSim-353), and analogies."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..catalogue import DataError
from .line_files import fields_of, read_lines
from .words import WordVocabulary


class Similarities(NamedTuple):
    """Ids int32 [N, 2] of word pairs, and their similarity as rated by people, float64 [N]."""

    pairs: np.ndarray
    human: np.ndarray


def load_similarities(path: Path, vocabulary: WordVocabulary) -> Similarities:
    """Word pairs of a file whose words are both known, in lower case.

    A line has two words and a number, separated by tabs, commas or spaces. Lines that begin with #
    are comments, and a first line without a number is a header. Raises DataError when the file is
    malformed or has fewer than three known pairs.
    """
    pairs, human = [], []
    header = True
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        *words, last = fields_of(line.lower(), "\t" if "\t" in line else ",")
        try:
            value = float(last)
        except ValueError:
            value = None
        first, header = header, False
        if value is None or len(words) != 2:
            if value is None and first:
                continue
            raise DataError(f"line {number} of {path} is not two words and a number: {line[:60]!r}")
        if ids := _known_ids(words, vocabulary):
            pairs.append(ids)
            human.append(value)
    if len(pairs) < 3:
        raise DataError(
            f"the vocabulary has both words of only {len(pairs)} pairs of {path}; 3 are needed"
        )
    return Similarities(np.array(pairs, np.int32), np.array(human))


def load_analogies(path: Path, vocabulary: WordVocabulary) -> np.ndarray:
    """Ids int32 [N, 4] of the questions "a is to b as c is to d" whose words are all known.

    A line has four words, converted to lower case, or a section name after a colon. Raises
    DataError when the file is malformed or no question has only known words.
    """
    questions = []
    for number, line in enumerate(read_lines(path), 1):
        words = fields_of(line.lower())
        if line.startswith(":") or not words:
            continue
        if len(words) != 4:
            raise DataError(f"line {number} of {path} is not four words: {line[:60]!r}")
        if ids := _known_ids(words, vocabulary):
            questions.append(ids)
    if not questions:
        raise DataError(f"no question of {path} has only words of the vocabulary")
    return np.array(questions, np.int32)


def _known_ids(words: list[str], vocabulary: WordVocabulary) -> list[int]:
    """Ids of words; an empty list when one of them is unknown."""
    ids = [vocabulary.index.get(word.strip(), -1) for word in words]
    return ids if min(ids) >= 0 else []
