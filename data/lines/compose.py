"""Lines composed of pieces, single symbols such as digits or tones, without marked boundaries."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..catalogue import DataError
from ..epochs import ALL, Batch, Rows
from .transcripts import Transcripts

TRAINING, HELD_OUT = 0, 1  # first elements of the seeds, so that no two random streams coincide


class Pieces(Protocol):
    """Examples of single symbols that are joined into lines."""

    @property
    def labels(self) -> np.ndarray:
        """Symbol ids int [P] of the pieces."""

    def join(self, indices: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        """Frames float32 [T, D] of the pieces at `indices`, one after the other."""


def draw_line(
    pieces: Pieces, counts: tuple[int, int], frames: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[int]]:
    """Frames [T, D] and symbol ids of a random line of counts[0] to counts[1] pieces.

    Pieces that would make the line longer than `frames` frames are dropped from its end. Raises
    DataError when a single piece is too long.
    """
    indices = rng.integers(len(pieces.labels), size=rng.integers(counts[0], counts[1] + 1)).tolist()
    while len(x := pieces.join(indices, rng)) > frames:
        indices.pop()
        if not indices:
            raise DataError(f"a single piece is longer than the {frames} frames of a line")
    return x, pieces.labels[indices].tolist()


def held_out_lines(
    pieces: Pieces, number: int, counts: tuple[int, int], frames: int, seed: int
) -> Transcripts:
    """`number` random lines, always the same for the same pieces and seed."""
    rng = np.random.default_rng((HELD_OUT, seed))
    lines = [draw_line(pieces, counts, frames, rng) for _ in range(number)]
    return Transcripts(*zip(*lines, strict=True))


@dataclass(frozen=True)
class TrainingLines:
    """step -> batch of new lines, a function of (seed, step); all batches have the same shape.

    The keys are those of `data.lines.transcripts`.
    """

    pieces: Pieces
    batch_size: int
    seed: int
    counts: tuple[int, int]
    frames: int

    def __call__(self, step: int, rows: Rows = ALL) -> Batch:
        """Return the rows of the batch of a step."""
        # a generator for each row, since the number of draws depends on the pieces
        generators = [
            np.random.default_rng((TRAINING, self.seed, step, row))
            for row in np.arange(self.batch_size)[rows]
        ]
        drawn = [draw_line(self.pieces, self.counts, self.frames, rng) for rng in generators]
        lines = Transcripts(*zip(*drawn, strict=True))
        indices = np.arange(len(drawn))
        return lines.batch(indices, (self.frames, self.counts[1]), len(drawn))
