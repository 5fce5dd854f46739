"""Edit distance between transcripts, and the error rate of a corpus."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def edit_distance(a: Sequence[Any], b: Sequence[Any]) -> int:
    """Fewest insertions, deletions and substitutions that turn a into b (Levenshtein 1966).

    Symbols can be anything comparable: characters, words, ids.

    >>> edit_distance("kitten", "sitting")
    3
    """
    positions = np.arange(len(b) + 1)
    row = positions
    for symbol in a:
        differs = np.array([symbol != x for x in b], int)
        best = row + 1
        best[1:] = np.minimum(best[1:], row[:-1] + differs)
        row = np.minimum.accumulate(best - positions) + positions  # insertions, from the left
    return int(row[-1])


def error_rate(pairs: Iterable[tuple[Sequence[Any], Sequence[Any]]]) -> float:
    """Sum of the edit distances of (reference, hypothesis) over the length of all references.

    It may exceed 1. If all references are empty it is the number of errors.
    """
    errors = symbols = 0
    for reference, hypothesis in pairs:
        errors += edit_distance(reference, hypothesis)
        symbols += len(reference)
    return errors / max(1, symbols)
