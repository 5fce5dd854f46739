"""--mode=rate: classify sentences, and mark the evidence of each word."""

import sys
from collections.abc import Sequence

import numpy as np

from data.catalogue import DataError
from experiments.common.stdin import texts_of_input
from experiments.sentence.evidence import relative
from experiments.sentence.rating import Rate
from train.trained import TrainedRun

BLUE, RED, BOLD = "34", "31;4", ";1"  # codes of ECMA-48; red is underlined


def rate(run: TrainedRun) -> None:
    """Classify each line of standard input, with the contribution of each word.

    Print the class, its probability and the words. On a terminal, words that support the class are
    blue and words that oppose it red and underlined, if they contribute at least a fifth as much as
    the strongest word, and bold above three fifths; otherwise each word is followed by its
    contribution. Raises DataError for an empty line.
    """
    task: Rate = run.task
    in_colour = sys.stdout.isatty()
    number = 0
    for lines in texts_of_input():
        sentences = []
        for line in lines:
            number += 1
            sentences.append(task.words_of(line))
            if not sentences[-1]:
                raise DataError(f"line {number} of the input is an empty sentence")
        mark = coloured if in_colour else numbered
        ratings = task.ratings(run.variables, sentences)
        for words, rating in zip(sentences, ratings, strict=True):
            head = f"{task.classes[rating.label]}\t{rating.probability:.3f}\t"
            print(head + mark(words, rating.contributions), flush=True)


def coloured(words: Sequence[str], contributions: np.ndarray) -> str:
    """Words in the colours of their contributions."""

    def colour_word(word: str, strength: float) -> str:
        if abs(strength) < 0.2:
            return word
        colour = f"{BLUE if strength > 0 else RED}{BOLD if abs(strength) > 0.6 else ''}"
        return f"\x1b[{colour}m{word}\x1b[0m"

    return " ".join(map(colour_word, words, relative(contributions)))


def numbered(words: Sequence[str], contributions: np.ndarray) -> str:
    """Words with their contributions in nats."""
    pairs = zip(words, contributions, strict=True)
    return " ".join(f"{word}({contribution:+.2f})" for word, contribution in pairs)
