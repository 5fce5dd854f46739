"""Word vectors: similarity and analogy tests, nearest neighbours, and the modes of word2vec."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from data.text.analogies import nearest_ids, normalized
from data.text.words import WordVocabulary
from train.config import ConfigError
from train.trained import TrainedRun
from train.validity import hint

if TYPE_CHECKING:
    from data.text.word_tests import Similarities

QUESTIONS = 256  # analogies at a time, since each needs a row of cosines with all words


class WordTests(NamedTuple):
    """Word pairs and analogies [N, 4] that score a run; None for a test that is not used."""

    similarities: "Similarities | None"
    analogies: np.ndarray | None

    @classmethod
    def from_files(
        cls, similarities: str, analogies: str, vocabulary: WordVocabulary
    ) -> "WordTests":
        """Tests from two files, "" for none; raises DataError when one cannot be used."""
        from data.text.word_tests import load_analogies, load_similarities

        def load(reader, path: str):
            return reader(Path(os.path.expanduser(path)), vocabulary) if path else None

        return cls(load(load_similarities, similarities), load(load_analogies, analogies))

    @property
    def sizes(self) -> dict[str, Any]:
        """Number of questions of each test, of known words alone, and a checksum of all tests."""
        from data.tabular.batches import sha256_of

        tests = {
            "similarities": self.similarities and self.similarities.human,
            "analogies": self.analogies,
        }
        sizes: dict[str, Any] = {n: len(test) for n, test in tests.items() if test is not None}
        arrays = [*(self.similarities or ()), self.analogies]
        arrays = [array for array in arrays if array is not None]
        return sizes | ({"tests_sha256": sha256_of(*arrays)} if arrays else {})

    def scores(self, vectors) -> dict[str, float]:
        """Spearman's rank correlation, and the fraction of correct analogies."""
        units, scores = normalized(vectors), {}
        if self.similarities:
            first, second = self.similarities.pairs.T
            cosines = (units[first] * units[second]).sum(axis=1)
            scores["wordsim"] = rank_correlation(cosines, self.similarities.human)
        if self.analogies is not None:
            correct = answers(units, self.analogies[:, :3]) == self.analogies[:, 3]
            scores["analogies"] = float(correct.mean())
        return scores


def rank_correlation(a, b) -> float:
    """Spearman's correlation of two sequences [N]; 0 when one of them is constant."""
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic) if np.ptp(a) and np.ptp(b) else 0.0


def answers(units, questions) -> np.ndarray:
    """Word d, int [N], with the highest cosine to b - a + c for questions (a, b, c) int [N, 3].

    units: unit vectors float32 [V, D]. The words of a question are excluded from its answers.
    """
    words = []
    for start in range(0, len(questions), QUESTIONS):
        chunk = questions[start : start + QUESTIONS]
        a, b, c = (units[column] for column in chunk.T)
        cosines = (b - a + c) @ units.T
        np.put_along_axis(cosines, chunk, -np.inf, axis=1)
        words.append(cosines.argmax(axis=1))
    return np.concatenate(words)


def neighbours_text(task, units, ids: Sequence[int]) -> str:
    """Return one line for each word: the word, and its neighbours with their cosines."""
    words, lines = task.vocabulary.words, []
    for i in ids:
        pairs = nearest_ids(units, units[i], task.config.neighbours, [i])
        listed = (f"{words[j]} {cosine:.2f}" for j, cosine in pairs)
        lines.append(f"{words[i]}: {', '.join(listed)}\n")
    return "".join(lines)


def save(run: TrainedRun) -> None:
    """Write the word vectors to a file, config.save_to or RUN/vectors.txt."""
    from data.text.vectors import file_of_vectors
    from train.output import output_of

    output = output_of(run.workdir, "vectors.txt", run.config.save_to)
    words = run.task.vocabulary.words
    content = file_of_vectors(output.path, words, run.variables["params"]["words"])
    try:
        print(f"{len(words)} vectors: {output.write(content)}")
    except OSError as error:
        raise ConfigError(f"cannot write vectors {output.path}: {error.strerror}") from None


def nearest(run: TrainedRun) -> None:
    """Print the nearest neighbours of words from standard input.

    The input has one word per line.
    """
    from experiments.common.stdin import lines_of_input

    task, units = run.task, normalized(run.variables["params"]["words"])
    for word in map(str.strip, lines_of_input()):
        known = task.vocabulary.index.get(word)
        if known is not None:
            print(neighbours_text(task, units, [known]), end="", flush=True)
        elif word:
            print(f"{word}: unknown{hint(word, task.vocabulary.words)}", flush=True)
