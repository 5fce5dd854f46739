"""The widest margin between two classes, and the bound on a perceptron's updates."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

SMALLEST = 1e-7  # margin over the largest norm; a smaller one is lost in rounding


class Separator(NamedTuple):
    """Weights float64 [M] of unit norm, and the smallest t w . phi over all samples."""

    weights: np.ndarray
    margin: float


def widest_separator(phi: np.ndarray, t: np.ndarray) -> Separator | None:
    """Separator through the origin of phi [N, M] with the widest margin; None if there is none.

    t: targets [N] in {-1, +1}. It is the shortest w with t w . phi >= 1 for every sample, a least
    distance problem, solved as non-negative least squares: Lawson and Hanson, "Solving least
    squares problems", 1974, chapter 23. A margin below SMALLEST counts as none.
    """
    signed = t[:, None] * phi.astype(np.float64)
    scale = max(np.linalg.norm(signed, axis=1).max(), 1e-300)
    matrix = np.vstack([signed.T / scale, np.ones(len(t))])
    goal = np.zeros(len(matrix))
    goal[-1] = 1
    multipliers, _ = nnls(matrix, goal, maxiter=100 * len(t))
    weights = (matrix @ multipliers)[:-1]  # of length m / (1 + m^2), m = margin / scale
    length = np.linalg.norm(weights)
    if length < SMALLEST:
        return None
    weights = weights / length
    margin = float((signed @ weights).min())
    return Separator(weights, margin) if margin > SMALLEST * scale else None


def updates_bound(phi: np.ndarray, margin: float) -> float:
    """M / margin^2, with M the largest squared norm of phi [N, M], for a start at w = 0.

    Source: Novikoff, "On convergence proofs for perceptrons", 1962.
    """
    return float((phi.astype(np.float64) ** 2).sum(axis=1).max()) / margin**2
