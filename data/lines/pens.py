"""Lines of digits as one pen writes them, one after the other: how it moves, and when it is up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..catalogue import DataError
from ..series.labelled import TimeSeries
from ..series.strokes import SCALE, load_pendigits, strokes
from .number_rows import read_numbers

HEIGHT = 2.0  # of a digit of pendigits, in its own numbers
GAP = 0.1, 0.5  # between two digits, heights
BASE = 0.15  # most that a digit stands above the line, heights
TURN, SLANT, STRETCH = 0.15, 0.2, 0.15  # of the distortion: radians, and relative sizes


@dataclass(frozen=True)
class PenDigits:
    """Digits as pieces of lines: points of a pen [T_i + 1, 2], y upwards, height about 1.

    up: float32 [T_i] each, 1 where the pen is lifted on the way to the next point. labels are
    digits + 1. scale: of a movement, so that numbers are about one. distort: each digit is turned,
    slanted and stretched.
    """

    points: Sequence[np.ndarray]
    up: Sequence[np.ndarray]
    labels: np.ndarray
    scale: float
    distort: bool = False

    def part(self, which: np.ndarray, distort: bool = False) -> "PenDigits":
        """Return the digits that bools [P] or ints pick."""
        places = np.arange(len(self.labels))[which]
        points, up = ([rows[i] for i in places] for rows in (self.points, self.up))
        return PenDigits(points, up, self.labels[places], self.scale, distort)

    def join(self, places: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        """Movements float32 [T, 3] of a line: to the right, upwards, and 1 where the pen is up.

        The pen moves on to the next digit in one step, lifted.
        """
        written: list[np.ndarray] = []
        lifted: list[np.ndarray] = []
        right = 0.0
        for place in places:
            points = self.points[place]
            if self.distort:
                points = points @ distortion(rng)
            left = np.array([right + rng.uniform(*GAP), rng.uniform(0, BASE)])
            points = points - points.min(axis=0) + left
            right = points[:, 0].max()
            written.append(points)
            lifted += [self.up[place], np.ones(1)]
        moves = np.diff(np.concatenate(written), axis=0) * self.scale
        return np.column_stack([moves, np.concatenate(lifted)[:-1]]).astype(np.float32)


def distortion(rng: np.random.Generator) -> np.ndarray:
    """Matrix float64 [2, 2] that turns, slants and stretches points [T, 2] a little."""
    turn, slant = rng.normal(0, TURN), rng.normal(0, SLANT)
    wide, high = rng.lognormal(0, STRETCH, 2)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return rotation @ np.array([[wide, 0], [slant, high]])


def pen_digits(folder: str) -> tuple[PenDigits, np.ndarray]:
    """Digits of the folder of `load_pendigits`, or those of `strokes` for "", and which are test.

    The pen of pendigits is taken as down throughout a digit: its points do not tell.
    """
    series, test = load_pendigits(folder) if folder else strokes()
    points, up = (from_points if folder else from_moves)(series)
    moves = np.concatenate([np.diff(row, axis=0) for row in points])
    return PenDigits(points, up, series.labels + 1, float(1 / moves.std())), test


def from_points(series: TimeSeries) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Points and lifts of series [N, T, 2] of places."""
    points = list(series.x.astype(np.float64) / HEIGHT)
    return points, [np.zeros(len(row) - 1, np.float32) for row in points]


def from_moves(series: TimeSeries) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Points and lifts of series [N, T, 3] of movements and of a pen that is down."""
    rows = [x[:length] for x, length in zip(series.x, series.lengths, strict=True)]
    points = [np.cumsum(np.pad(x[:, :2], [(1, 0), (0, 0)]), axis=0) / SCALE for x in rows]
    return points, [1 - x[:, 2] for x in rows]


def read_pen(path: str, scale: float) -> np.ndarray:
    """Movements float32 [T, 3] of a CSV file: x, y upwards, and 1 where the pen is up, a point a
    line; the last column says how it came to the point, and may be missing.

    Brought to a height of 1 and to `scale`. Raises DataError naming the file.
    """
    rows = read_numbers(path)
    if len(rows) < 2 or rows.shape[1] not in (2, 3) or not np.ptp(rows[:, 1]):
        raise DataError(f"{path} must have two points or more, x,y or x,y,up on a line")
    moves = np.diff(rows[:, :2] / np.ptp(rows[:, 1]), axis=0) * scale
    up = rows[1:, 2:] if rows.shape[1] == 3 else np.zeros((len(moves), 1))
    return np.concatenate([moves, up], axis=1).astype(np.float32)
