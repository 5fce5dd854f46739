"""Digits as paths of a pen: synthetic drawings, or real ones of the UCI repository."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..catalogue import DataError
from ..forms.content import check_no_pipe
from .labelled import TimeSeries, pad

DIGITS = tuple("0123456789")
STEPS = 64
TRAINING, TEST = 1500, 300  # drawings
ROUNDINGS = 3
SCALE = 10.0  # factor of movements that brings their values to about one
PEN_POINTS = 8

Glyph = Sequence[Sequence[tuple[int, int]]]

# the variants of each digit: strokes through or near points (x, y), with y upwards; a repeated
# point is a sharp corner
GLYPHS: dict[str, tuple[Glyph, ...]] = {
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


def cut_corners(points: np.ndarray) -> np.ndarray:
    """Paths [N, 2 K - 2, 2] of points [N, K, 2] with their corners cut; the end points stay.

    Source: Chaikin, "An algorithm for high speed curve generation", 1974.
    """
    a, b = points[:, :-1], points[:, 1:]
    cut = np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], axis=2)
    cut = cut.reshape(len(points), -1, 2)
    return np.concatenate([points[:, :1], cut[:, 1:-1], points[:, -1:]], axis=1)


def draw_glyph(glyph: Glyph, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """`count` drawings of a glyph, float32 [T_i, 3]: movement to the right, upwards, pen down.

    Each drawing has its own displaced points, rotation, slant, size and speed. The pen is sampled
    at equal distances along its path, including the lifted segments between strokes.
    """
    angle, slant = rng.normal(0, 0.17, count), rng.normal(0.1, 0.2, count)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = np.array([[np.ones(count), slant], [np.zeros(count), np.ones(count)]])
    size = rng.lognormal(0, 0.2, (count, 1, 2)) / 10
    strokes = []
    for stroke in glyph:
        points = np.array(stroke, np.float64) + rng.normal(0, 0.7, (count, len(stroke), 2))
        repeated = [i for i in range(1, len(stroke)) if stroke[i] == stroke[i - 1]]
        points[:, repeated] = points[:, [i - 1 for i in repeated]]
        for _ in range(ROUNDINGS):
            points = cut_corners(points)
        strokes.append(np.einsum("ijn,jkn,npk->npi", rotation, shear, points) * size)
    path = np.concatenate(strokes, axis=1)
    lifted = np.cumsum([stroke.shape[1] for stroke in strokes])[:-1] - 1  # segments in the air
    down = np.ones(path.shape[1] - 1, np.float32)
    down[lifted] = 0
    speeds = rng.lognormal(0, 0.25, count)
    return [sample_path(row, down, speed) for row, speed in zip(path, speeds, strict=True)]


def sample_path(path: np.ndarray, down: np.ndarray, speed: float) -> np.ndarray:
    """Steps [T, 3] of a path [P, 2], equally spaced by about a tenth of a height times `speed`."""
    length = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1)))
    count = min(STEPS, max(4, round(length[-1] / (0.1 * speed))))
    samples = np.linspace(0, length[-1], count + 1)
    points = np.stack([np.interp(samples, length, axis) for axis in path.T], axis=1)
    segments = np.searchsorted(length, (samples[1:] + samples[:-1]) / 2) - 1
    return np.column_stack([np.diff(points, axis=0) * SCALE, down[segments]]).astype(np.float32)


@lru_cache(maxsize=1)
def strokes() -> tuple[TimeSeries, np.ndarray]:
    """Synthetic drawings of ten digits [1800, 64, 3], and bool [1800], true for 300 test drawings.

    They are the same at every call. Rest is a lifted pen that does not move.
    """
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(TRAINING + TEST) % len(DIGITS)).astype(np.int32)
    drawings: list[np.ndarray] = [np.empty(0)] * len(labels)
    for label, glyphs in enumerate(GLYPHS.values()):
        of_label = np.flatnonzero(labels == label)
        for i, glyph in enumerate(glyphs):
            indices = of_label[i :: len(glyphs)]
            for index, drawing in zip(indices, draw_glyph(glyph, len(indices), rng), strict=True):
                drawings[index] = drawing
    zero = np.zeros(3, np.float32)
    series = TimeSeries(*pad(drawings, STEPS), labels, DIGITS, rest=zero, decibel=zero)
    return series, np.arange(len(labels)) >= TRAINING


def load_pendigits(folder: str) -> tuple[TimeSeries, np.ndarray]:
    """Real digits of 44 writers, 8 points (x, y) [N, 8, 2] in -1 .. 1; bool [N], true for test.

    The folder has pendigits.tra (30 writers) and pendigits.tes (14 others). A line has 16 numbers
    from 0 to 100, then the digit, or the digit as ten one-hot characters. Source: Alimoglu and
    Alpaydin 1996, the UCI repository. Raises DataError naming a malformed line.
    """
    points: list[list[float]] = []
    labels: list[int] = []
    sizes = []
    for name in ("pendigits.tra", "pendigits.tes"):
        before = len(points)
        path = Path(os.path.expanduser(folder)) / name
        check_no_pipe(path)
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
                    raise DataError(
                        f"{path}, line {number} is not 16 numbers and a digit: {line!r}"
                    )
                points.append(values)
        if len(points) == before:
            raise DataError(f"{path} has no digits")
        sizes.append(len(points))
    x = np.array(points, np.float32).reshape(-1, PEN_POINTS, 2) / 50 - 1
    lengths = np.full(len(x), PEN_POINTS, np.int32)
    zero = np.zeros(2, np.float32)
    series = TimeSeries(x, lengths, np.array(labels, np.int32), DIGITS, zero, zero)
    return series, np.arange(len(x)) >= sizes[0]
