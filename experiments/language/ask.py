"""--mode=ask of word2vec: similarities, neighbours and sums of words, line by line."""

import sys
from collections.abc import Iterable, Sequence

import numpy as np

from data.text.analogies import nearest_ids, normalized
from experiments.common.stdin import lines_of_input
from train.trained import TrainedRun
from train.validity import hint

EXAMPLES = "king, king - man + woman or cat ~ dog"


def ask(run: TrainedRun) -> None:
    """Answer questions about words, one per line of the input, or config.question.

    "king" and "king - man + woman" print the nearest words and their cosines, without the words of
    the question; "cat ~ dog" prints the cosine of two words.
    """
    units, words = normalized(run.variables["params"]["words"]), run.task.vocabulary.words
    if not run.config.question and sys.stdin.isatty():
        print(f"ask {EXAMPLES}, one per line; end with Ctrl-D", file=sys.stderr)
    lines: Iterable[str] = [run.config.question] if run.config.question else lines_of_input()
    for line in lines:
        if line.strip():
            print(answer(line.split(), units, words, run.config.neighbours), flush=True)


def answer(question: Sequence[str], units: np.ndarray, words: Sequence[str], count: int) -> str:
    """Return the line that answers a question: its words and signs, in turn.

    units: unit vectors float32 [V, D] of the words. count: number of nearest words.
    """
    operands, signs = question[::2], question[1::2]
    is_sum = set(signs) <= {"+", "-"}
    if len(operands) == len(signs) or not (is_sum or signs == ["~"]):
        return f"{' '.join(question)}: not a question; ask {EXAMPLES}, with spaces around the signs"
    if unknown := [word for word in operands if word not in words]:
        names = (f"{word}{hint(word, words)}" for word in unknown)
        return f"{' '.join(question)}: unknown {', '.join(names)}"
    ids = [words.index(word) for word in operands]
    if not is_sum:
        return f"{' '.join(question)}: {units[ids[0]] @ units[ids[1]]:.2f}"
    factors = np.array([1, *(-1 if sign == "-" else 1 for sign in signs)], np.float32)
    found = nearest_ids(units, factors @ units[ids], count, ids)
    return f"{' '.join(question)}: {', '.join(f'{words[i]} {cosine:.2f}' for i, cosine in found)}"
