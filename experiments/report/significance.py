"""Whether differences from a baseline are more than chance: paired t-tests, corrected after Holm.

The test is Student's t for pairs and not the signed-rank test of Wilcoxon: the smallest two-sided
p-value of the latter is 2^(1 - n) for n pairs, so that with fewer than six seeds it could never
fall below 0.05. The t-test assumes that the differences are about normal; with few pairs nothing
can check that.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtr  # the distribution of Student's t; scipy.stats loads slowly

LEVEL = 0.05  # a corrected p-value below it is a difference
LEAST = 3  # pairs of a test


def p_value(differences: Sequence[float]) -> float:
    """Two-sided p-value of the t-test for pairs with these differences, at least two, not equal."""
    error = float(np.std(differences, ddof=1)) / len(differences) ** 0.5
    return 2 * float(stdtr(len(differences) - 1, -abs(float(np.mean(differences))) / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected p-values of several comparisons by the step-down method of Holm (1979).

    The smallest of m is multiplied by m, the next by m - 1, and so on; none is below the one before
    it, or above 1.
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def untestable(differences: Sequence[float]) -> str:
    """Why there is no t-test of these differences; "" when there is one.

    Equal differences have no spread to compare their mean with: rounded metrics, such as the
    accuracy on few examples, often agree by chance.
    """
    if len(differences) < LEAST:
        return "too few pairs"
    if not all(map(math.isfinite, differences)):
        return "not finite"
    spread, size = np.ptp(differences), np.max(np.abs(differences))
    return "all pairs differ equally" if spread <= 1e-9 * size else ""


def verdicts(differences: Sequence[Sequence[float]]) -> list[str]:
    """In words, whether each row is lower or higher than a baseline, with its corrected p-value.

    differences: those of the pairs of each row. The correction counts the rows that are tested.
    """
    words = [untestable(row) for row in differences]
    tested = [i for i, reason in enumerate(words) if not reason]
    for i, p in zip(tested, holm([p_value(differences[i]) for i in tested]), strict=True):
        side = "lower" if np.mean(differences[i]) < 0 else "higher"
        shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
        words[i] = f"{side if p < LEVEL else 'no difference shown'} ({shown})"
    return words
