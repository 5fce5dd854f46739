"""--mode=rate: classify sentences of the input, and mark the evidence of each word."""

import sys
from collections.abc import Sequence

import numpy as np

from data.catalogue import DataError
from experiments.common.stdin import texts_of_input
from experiments.sentence.evidence import relative
from experiments.sentence.rating import Rate
from train.evaluate import Predictor

GREEN, RED, BOLD = "32", "31", ";1"  # ECMA-48


def rate(task: Rate, predict: Predictor) -> None:
    """Print class and probability of each line of the input, and what speaks for it.

    On a terminal the words are green that speak for the class, and red that speak against it, as
    far as they say a fifth of what the strongest does; else a number follows each word.
    """
    in_colour = sys.stdout.isatty()
    number = 0
    for lines in texts_of_input():
        sentences = []
        for line in lines:
            number += 1
            sentences.append(task.words_of(line))
            if not sentences[-1]:
                raise DataError(f"line {number} of the input is an empty sentence")
        show = coloured if in_colour else numbered
        for words, found in zip(sentences, task.ratings(predict.variables, sentences), strict=True):
            head = f"{task.classes[found.label]}\t{found.probability:.3f}\t"
            print(head + show(words, found.parts), flush=True)


def coloured(words: Sequence[str], parts: np.ndarray) -> str:
    """Words in the colours of what they say."""

    def one(word: str, strength: float) -> str:
        if abs(strength) < 0.2:
            return word
        colour = f"{GREEN if strength > 0 else RED}{BOLD if abs(strength) > 0.6 else ''}"
        return f"\x1b[{colour}m{word}\x1b[0m"

    return " ".join(map(one, words, relative(parts)))


def numbered(words: Sequence[str], parts: np.ndarray) -> str:
    """Words with what they say in nats."""
    return " ".join(f"{word}({part:+.2f})" for word, part in zip(words, parts, strict=True))
