"""What word vectors are looked at with: similarities, analogies, neighbours, a plane, files."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.text.vectors import write_vectors
from data.text.word_tests import Similarities, load_analogies, load_similarities
from data.text.words import WordVocabulary
from experiments.common.stdin import lines_of_input
from train.config import ConfigError, hint
from train.evaluate import Predictor

QUESTIONS = 256  # analogies at a time: a table of them by words is held


class WordTests(NamedTuple):
    """Pairs and analogies that a run is scored by, where it is."""

    similarities: Similarities | None
    analogies: np.ndarray | None

    @classmethod
    def of(cls, similarities: str, analogies: str, vocabulary: WordVocabulary) -> "WordTests":
        """Tests of two files, empty: none; raises DataError when one cannot be used."""
        return cls(
            load_similarities(Path(similarities).expanduser(), vocabulary)
            if similarities
            else None,
            load_analogies(Path(analogies).expanduser(), vocabulary) if analogies else None,
        )

    @property
    def sizes(self) -> dict[str, int]:
        """How many questions of each test there are, with known words alone."""
        parts = {
            "similarities": self.similarities and self.similarities.human,
            "analogies": self.analogies,
        }
        return {name: len(part) for name, part in parts.items() if part is not None}

    def scores(self, vectors) -> dict[str, float]:
        """Spearman's rank correlation, and the share of analogies that are right."""
        units, found = normalized(vectors), {}
        if self.similarities:
            first, second = self.similarities.pairs.T
            cosines = (units[first] * units[second]).sum(axis=1)
            found["wordsim"] = rank_correlation(cosines, self.similarities.human)
        if self.analogies is not None:
            right = answers(units, self.analogies[:, :3]) == self.analogies[:, 3]
            found["analogies"] = float(right.mean())
        return found


def rank_correlation(a, b) -> float:
    """Spearman's correlation of two rows [N]; 0 when one of them is constant."""
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic) if np.ptp(a) and np.ptp(b) else 0.0


def normalized(vectors) -> np.ndarray:
    """Vectors [V, D] of length 1; zero stays zero."""
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)


def answers(units, questions) -> np.ndarray:
    """Word d int [N] nearest to b - a + c by cosine for each question (a, b, c) int [N, 3].

    units: float32 [V, D], each of length 1. The words of a question are no answer to it.
    """
    found = []
    for start in range(0, len(questions), QUESTIONS):
        part = questions[start : start + QUESTIONS]
        a, b, c = (units[column] for column in part.T)
        cosines = (b - a + c) @ units.T
        np.put_along_axis(cosines, part, -np.inf, axis=1)
        found.append(cosines.argmax(axis=1))
    return np.concatenate(found)


def neighbours(units, word: int, count: int) -> list[tuple[int, float]]:
    """Ids and cosines of the `count` words nearest to one, it left out, the nearest first."""
    cosines = units @ units[word]
    cosines[word] = -np.inf
    nearest = np.argsort(-cosines, kind="stable")[: min(count, len(units) - 1)]
    return [(int(i), float(cosines[i])) for i in nearest]


def neighbours_text(task, units, ids: Sequence[int]) -> str:
    """Make a line for each word: the word, and its neighbours with their cosines."""
    words, lines = task.vocabulary.words, []
    for i in ids:
        found = neighbours(units, i, task.config.neighbours)
        near = (f"{words[j]} {cosine:.2f}" for j, cosine in found)
        lines.append(f"{words[i]}: {', '.join(near)}\n")
    return "".join(lines)


def save(task, predict: Predictor) -> None:
    """--mode=save: write the word vectors of the run's best checkpoint to --config.vectors."""
    if not task.config.vectors:
        raise ConfigError("--mode=save needs --config.vectors=FILE, .bin for the binary format")
    path = Path(task.config.vectors).expanduser()
    write_vectors(path, task.vocabulary.words, predict.variables["params"]["words"])
    print(f"{len(task.vocabulary)} vectors: {path}")


def nearest(task, predict: Predictor) -> None:
    """--mode=neighbours: print the nearest words of each word of the input, a word a line."""
    units = normalized(predict.variables["params"]["words"])
    for word in map(str.strip, lines_of_input()):
        known = task.vocabulary.index.get(word)
        if known is not None:
            print(neighbours_text(task, units, [known]), end="", flush=True)
        elif word:
            print(f"{word}: unknown{hint(word, task.vocabulary.words)}", flush=True)
