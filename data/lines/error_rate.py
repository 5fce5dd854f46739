"""How far a transcript is from what was said: edit distance, and error rates of a corpus."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def edit_distance(a: Sequence[Any], b: Sequence[Any]) -> int:
    """Fewest symbols to insert, delete or replace that make b of a (Levenshtein 1966).

    Symbols are whatever can be compared: characters, words, ids.
    """
    places = np.arange(len(b) + 1)
    row = places
    for symbol in a:
        other = np.array([symbol != x for x in b], int)
        best = row + 1
        best[1:] = np.minimum(best[1:], row[:-1] + other)
        row = np.minimum.accumulate(best - places) + places  # insertions, from the left
    return int(row[-1])


def error_rate(pairs: Iterable[tuple[Sequence[Any], Sequence[Any]]]) -> float:
    """Edit distances of (reference, hypothesis) over the symbols of all references.

    It may be above 1. Without a symbol in any reference it is the number of errors.
    """
    errors = symbols = 0
    for reference, hypothesis in pairs:
        errors += edit_distance(reference, hypothesis)
        symbols += len(reference)
    return errors / max(1, symbols)
