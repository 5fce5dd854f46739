"""Lines of real handwritten digits, read column by column."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..catalogue import DataError, load_splits
from ..images.augment import Augmentation
from ..images.decode import decode_image
from .number_rows import read_numbers
from .transcripts import Alphabet

DIGITS = Alphabet(tuple("0123456789"))
FULL = 16.0  # largest pixel value of the digits
SIZE, ROWS = 8, 12  # height of a digit and of a line, pixels
GAP, MARGIN = 3, 4  # most empty columns between two digits and at either end
INK = 0.1  # pixel value above which a column is not empty
CONTRAST = 8  # least difference, of 255, between ink and paper in a picture
DISTORTION = Augmentation(scale=0.15, squeeze=0.1, shear=0.25, jitter=0.05)


@dataclass(frozen=True)
class DigitImages:
    """Images float32 [P, 8, 8] in 0 .. 1 as pieces of lines; labels are digits + 1.

    In a line each digit is trimmed of empty columns, placed 0 to 4 rows below the top, and
    separated from the previous digit by 0 to 3 empty columns. distort: scale and shear each digit
    at random, and add noise.
    """

    images: np.ndarray
    labels: np.ndarray
    distort: bool = False

    def subset(self, which: np.ndarray, distort: bool = False) -> "DigitImages":
        """Return the digits selected by bools [P] or indices."""
        return DigitImages(self.images[which], self.labels[which], distort)

    def join(self, indices: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        """Columns float32 [T, 12] of a line, each from top to bottom."""
        images = self.images[list(indices)]
        if self.distort:
            key = (int(rng.integers(2**32)),)
            images = np.clip(DISTORTION(images[..., None], key)[..., 0], 0, 1)
        tops = rng.integers(ROWS - SIZE + 1, size=len(images)).tolist()
        gaps = rng.integers(GAP + 1, size=len(images))
        gaps[-1], margin = rng.integers(MARGIN + 1, size=2)
        columns = [np.zeros((margin, ROWS), np.float32)]
        for image, top, gap in zip(images, tops, gaps.tolist(), strict=True):
            padding = [(0, gap), (top, ROWS - SIZE - top)]
            columns.append(np.pad(trim(image.T), padding))
        return np.concatenate(columns)


def trim(columns: np.ndarray) -> np.ndarray:
    """Columns [T, H] from the first to the last with ink; all of them when none has ink."""
    inked = np.flatnonzero(columns.max(axis=1) > INK)
    return columns[inked[0] : inked[-1] + 1] if len(inked) else columns


def digit_images(data_dir: str) -> dict[str, DigitImages]:
    """The digits of scikit-learn as pieces, by split: 1,437 for "train", 360 for "test"."""
    splits = {}
    for name, source in load_splits("digits", data_dir).items():
        elements = [source[i] for i in range(len(source))]
        images = np.stack([x["image"][..., 0] for x in elements]).astype(np.float32) / FULL
        splits[name] = DigitImages(images, np.array([x["label"] for x in elements]) + 1)
    return splits


def longest_line(digits: int) -> int:
    """Columns of the longest possible line with this number of digits."""
    return 2 * MARGIN + digits * SIZE + (digits - 1) * GAP


def read_line(path: str) -> np.ndarray:
    """Columns float32 [T, 12] of a picture of digits side by side, dark on light or the reverse.

    The picture is scaled so that the median height of its digits, separated by empty columns, is
    that of a digit, or less if the line would be too high; it is then centred vertically. A .csv
    file is read as rows of numbers, with ink above 0. Raises DataError, naming the file, when it
    cannot be read or has no ink.
    """
    file = Path(os.path.expanduser(path))
    if file.suffix.lower() == ".csv":
        values = read_numbers(file).astype(np.float32)
    else:
        values = decode_image(file, 1, 0, f"picture {path}")[..., 0].astype(np.float32)
        values -= values.min()
        if values.max() < CONTRAST:
            raise DataError(f"there is no ink in {path}")
        if np.median(values) > values.max() / 2:  # most pixels are background
            values = values.max() - values
    values = np.maximum(values, 0)
    if not values.size or not values.max():
        raise DataError(f"there is no ink in {path}")
    rows = trim(values / values.max())
    scale = min(SIZE / digit_height(rows > INK), ROWS / len(rows))
    width, height = (max(1, round(scale * n)) for n in (rows.shape[1], len(rows)))
    small = Image.fromarray(rows).resize((width, height), Image.Resampling.BOX)
    above = (ROWS - height) // 2
    line = np.pad(np.asarray(small).T, [(0, 0), (above, ROWS - height - above)])
    return (line / line.max()).astype(np.float32)


def digit_height(ink: np.ndarray) -> float:
    """Median height in rows of the digits of a line, bool [H, W], separated by empty columns."""
    columns = np.flatnonzero(ink.any(axis=0))
    digits = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    return float(np.median([np.ptp(np.flatnonzero(ink[:, d].any(axis=1))) + 1 for d in digits]))
