"""Digits as the path of a pen: drawn here, synthetic, or the real ones of the UCI repository."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from ..catalogue import DataError
from .labelled import TimeSeries, pad

DIGITS = tuple("0123456789")
STEPS = 64
TRAINING, TEST = 1500, 300  # drawings
ROUNDINGS = 3
SCALE = 10.0  # of a movement, so that numbers are about one
PEN_POINTS = 8

# the ways in which a digit is written: strokes, each through or near points (x, y) with y upwards;
# a point given twice is a corner
GLYPHS: dict[str, tuple] = {
    "0": ([[(5, 10), (1, 9), (0, 5), (1, 1), (5, 0), (8, 2), (8, 7), (6, 10), (4, 10)]],),
    "1": ([[(2, 7), (5, 10), (5, 10), (5, 0)]], [[(5, 10), (5, 0)]]),
    "2": (
        [[(1, 8), (3, 10), (7, 10), (8, 7), (5, 3), (1, 0), (1, 0), (8, 0)]],
        [[(1, 8), (4, 10), (7, 8), (5, 3), (1, 0), (2, 2), (4, 1), (8, 0)]],
    ),
    "3": (
        [[(1, 9), (5, 11), (8, 8), (4, 5), (4, 5), (8, 4), (7, 0), (3, -1), (0, 1)]],
        [[(1, 10), (7, 10), (7, 10), (4, 6), (4, 6), (8, 5), (7, 0), (3, -1), (0, 1)]],
    ),
    "4": (
        [[(3, 10), (0, 4), (0, 4), (8, 4)], [(6, 7), (6, 0)]],
        [[(6, 0), (6, 10), (6, 10), (0, 3), (0, 3), (8, 3)]],
    ),
    "5": (
        [[(2, 10), (1, 6), (1, 6), (5, 7), (8, 4), (6, 0), (1, 0)], [(2, 10), (8, 10)]],
        [[(8, 10), (2, 10), (2, 10), (1, 6), (1, 6), (5, 7), (8, 4), (6, 0), (1, 0)]],
    ),
    "6": ([[(6, 10), (2, 7), (0, 3), (2, 0), (6, 0), (7, 3), (4, 5), (1, 3)]],),
    "7": (
        [[(0, 10), (8, 10), (8, 10), (3, 0)]],
        [[(0, 10), (8, 10), (8, 10), (3, 0)], [(2, 5), (7, 5)]],
    ),
    "8": ([[(7, 9), (4, 11), (1, 8), (4, 5), (8, 2), (4, -1), (0, 2), (4, 5), (8, 8), (7, 9)]],),
    "9": (
        [[(7, 8), (4, 11), (1, 8), (3, 5), (7, 6), (7, 9), (7, 9), (6, 0)]],
        [[(7, 8), (4, 11), (1, 8), (3, 5), (7, 6), (7, 9), (7, 3), (5, 0), (1, 0)]],
    ),
}


def rounded(points: np.ndarray) -> np.ndarray:
    """Points [N, K, 2] of paths with the corners cut, twice as many; the ends stay.

    Source: Chaikin, "An algorithm for high speed curve generation", 1974.
    """
    a, b = points[:, :-1], points[:, 1:]
    cut = np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], axis=2)
    cut = cut.reshape(len(points), -1, 2)
    return np.concatenate([points[:, :1], cut[:, 1:-1], points[:, -1:]], axis=1)


def draw(glyph, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """`count` drawings of a glyph, float32 [T_i, 3]: movement to the right, upwards, pen down.

    A writer moves the points, turns, slants and stretches the whole, and has a speed; the pen is
    read at equal distances along its path, also where it is lifted from one stroke to the next.
    """
    angle, slant = rng.normal(0, 0.17, count), rng.normal(0.1, 0.2, count)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = np.array([[np.ones(count), slant], [np.zeros(count), np.ones(count)]])
    size = rng.lognormal(0, 0.2, (count, 1, 2)) / 10
    parts = []
    for stroke in glyph:
        points = np.array(stroke, np.float64) + rng.normal(0, 0.7, (count, len(stroke), 2))
        doubled = [i for i in range(1, len(stroke)) if stroke[i] == stroke[i - 1]]
        points[:, doubled] = points[:, [i - 1 for i in doubled]]
        for _ in range(ROUNDINGS):
            points = rounded(points)
        parts.append(np.einsum("ijn,jkn,npk->npi", turn, shear, points) * size)
    path = np.concatenate(parts, axis=1)
    lifted = np.cumsum([part.shape[1] for part in parts])[:-1] - 1  # the segment that is in the air
    down = np.ones(path.shape[1] - 1, np.float32)
    down[lifted] = 0
    paces = rng.lognormal(0, 0.25, count)
    return [read(row, down, pace) for row, pace in zip(path, paces, strict=True)]


def read(path: np.ndarray, down: np.ndarray, pace: float) -> np.ndarray:
    """Steps [T, 3] of one path [P, 2] at equal distances of about a tenth of a height by `pace`."""
    way = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1)))
    count = min(STEPS, max(4, round(way[-1] / (0.1 * pace))))
    places = np.linspace(0, way[-1], count + 1)
    points = np.stack([np.interp(places, way, axis) for axis in path.T], axis=1)
    middles = np.searchsorted(way, (places[1:] + places[:-1]) / 2) - 1
    return np.column_stack([np.diff(points, axis=0) * SCALE, down[middles]]).astype(np.float32)


@lru_cache(maxsize=1)
def strokes() -> tuple[TimeSeries, np.ndarray]:
    """Synthetic drawings of ten digits [1800, 64, 3], and bool [1800], true for the test's 300.

    Always the same ones. Rest is a pen that is lifted and does not move.
    """
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(TRAINING + TEST) % len(DIGITS)).astype(np.int32)
    drawings: list[np.ndarray] = [np.empty(0)] * len(labels)
    for label, glyphs in enumerate(GLYPHS.values()):
        mine = np.flatnonzero(labels == label)
        for i, glyph in enumerate(glyphs):
            places = mine[i :: len(glyphs)]
            for place, drawing in zip(places, draw(glyph, len(places), rng), strict=True):
                drawings[place] = drawing
    nothing = np.zeros(3, np.float32)
    series = TimeSeries(*pad(drawings, STEPS), labels, DIGITS, rest=nothing, decibel=nothing)
    return series, np.arange(len(labels)) >= TRAINING


def load_pendigits(folder: str) -> tuple[TimeSeries, np.ndarray]:
    """Real digits of 44 writers: 8 points (x, y) of a pen [N, 8, 2] in -1 .. 1, and which are test.

    folder: holds pendigits.tra (30 writers) and pendigits.tes (14 others): on a line 16 numbers
    0 to 100, then the digit, or ten places of which one is 1. Source: Alimoglu and Alpaydin 1996,
    the UCI repository. Raises DataError, naming file and line, for anything else.
    """
    points: list[list[float]] = []
    labels: list[int] = []
    sizes = []
    for name in ("pendigits.tra", "pendigits.tes"):
        before = len(points)
        path = Path(folder).expanduser() / name
        try:
            lines = path.read_text(encoding="ascii").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot read {path}: {error}") from error
        for number, line in enumerate(lines, 1):
            if line.strip():
                *numbers, last = line.split(",")
                try:
                    values = [float(value) for value in numbers]
                    label = last.strip()
                    labels.append(label.index("1") if len(label) == len(DIGITS) else int(label))
                except ValueError:
                    values = []
                if len(values) != 2 * PEN_POINTS or labels[-1] not in range(len(DIGITS)):
                    raise DataError(f"{path}, line {number}: no 16 numbers and a digit: {line!r}")
                points.append(values)
        if len(points) == before:
            raise DataError(f"{path} has no digit")
        sizes.append(len(points))
    x = np.array(points, np.float32).reshape(-1, PEN_POINTS, 2) / 50 - 1
    lengths = np.full(len(x), PEN_POINTS, np.int32)
    nothing = np.zeros(2, np.float32)
    series = TimeSeries(x, lengths, np.array(labels, np.int32), DIGITS, nothing, nothing)
    return series, np.arange(len(x)) >= sizes[0]
