"""Lines of digits written by one pen: its movements, and whether it is lifted."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..catalogue import DataError
from ..series.labelled import TimeSeries
from ..series.strokes import SCALE, load_pendigits, strokes
from .number_rows import read_numbers

HEIGHT = 2.0  # height of a digit of pendigits, in the units of its points
GAP = 0.1, 0.5  # least and greatest distance between two digits, in heights
BASE = 0.15  # greatest height of a digit above the line, in heights
TURN, SLANT, STRETCH = 0.15, 0.2, 0.15  # standard deviations of the distortion: radians, ratios


@dataclass(frozen=True)
class PenDigits:
    """Digits as pieces of lines: pen points [T_i + 1, 2] each, y upwards, height about 1.

    up: float32 [T_i] each, 1 where the pen is lifted on the way to the next point. labels: digits
    + 1. scale: factor of movements that brings their values to about one. distort: rotate, slant
    and stretch each digit at random.
    """

    points: Sequence[np.ndarray]
    up: Sequence[np.ndarray]
    labels: np.ndarray
    scale: float
    distort: bool = False

    def subset(self, which: np.ndarray, distort: bool = False) -> "PenDigits":
        """Return the digits selected by bools [P] or indices."""
        indices = np.arange(len(self.labels))[which]
        points, up = ([rows[i] for i in indices] for rows in (self.points, self.up))
        return PenDigits(points, up, self.labels[indices], self.scale, distort)

    def join(self, indices: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        """Pen movements float32 [T, 3] of a line: right, up, and 1 where the pen is lifted.

        The lifted pen moves to the next digit in one step.
        """
        path: list[np.ndarray] = []
        lifted: list[np.ndarray] = []
        right = 0.0
        for index in indices:
            points = self.points[index]
            if self.distort:
                points = points @ distortion(rng)
            corner = np.array([right + rng.uniform(*GAP), rng.uniform(0, BASE)])
            points = points - points.min(axis=0) + corner
            right = points[:, 0].max()
            path.append(points)
            lifted += [self.up[index], np.ones(1)]
        moves = np.diff(np.concatenate(path), axis=0) * self.scale
        return np.column_stack([moves, np.concatenate(lifted)[:-1]]).astype(np.float32)


def distortion(rng: np.random.Generator) -> np.ndarray:
    """Random matrix float64 [2, 2] that slightly rotates, slants and stretches points [T, 2]."""
    turn, slant = rng.normal(0, TURN), rng.normal(0, SLANT)
    width, height = rng.lognormal(0, STRETCH, 2)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return rotation @ np.array([[width, 0], [slant, height]])


def pen_digits(folder: str) -> tuple[PenDigits, np.ndarray]:
    """Digits of `load_pendigits(folder)`, or of `strokes` for ""; bool [P], true in the test set.

    Pendigits do not record pen lifts: the pen counts as down throughout each digit.
    """
    series, test = load_pendigits(folder) if folder else strokes()
    points, up = (from_points if folder else from_moves)(series)
    moves = np.concatenate([np.diff(row, axis=0) for row in points])
    return PenDigits(points, up, series.labels + 1, float(1 / moves.std())), test


def from_points(series: TimeSeries) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Points and lifts of series [N, T, 2] of points."""
    points = list(series.x.astype(np.float64) / HEIGHT)
    return points, [np.zeros(len(row) - 1, np.float32) for row in points]


def from_moves(series: TimeSeries) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Points and lifts of series [N, T, 3] of movements and of whether the pen is down."""
    rows = [x[:length] for x, length in zip(series.x, series.lengths, strict=True)]
    points = [np.cumsum(np.pad(x[:, :2], [(1, 0), (0, 0)]), axis=0) / SCALE for x in rows]
    return points, [1 - x[:, 2] for x in rows]


def read_pen(path: str, scale: float) -> np.ndarray:
    """Movements float32 [T, 3] of a CSV file with a point per line: x, y upwards, and pen up.

    The last column is 1 if the pen was up on the way to the point; it is optional. The line is
    scaled to a height of 1, then multiplied by `scale`. Raises DataError naming the file.
    """
    rows = read_numbers(Path(os.path.expanduser(path)))
    if len(rows) < 2 or rows.shape[1] not in (2, 3) or not np.ptp(rows[:, 1]):
        raise DataError(
            f"{path} needs lines x,y or x,y,up: two or more points, not all of the same height"
        )
    moves = np.diff(rows[:, :2] / np.ptp(rows[:, 1]), axis=0) * scale
    up = rows[1:, 2:] if rows.shape[1] == 3 else np.zeros((len(moves), 1))
    return np.concatenate([moves, up], axis=1).astype(np.float32)
