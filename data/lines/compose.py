"""Lines: pieces of known symbols, digits or tones, joined to one sequence without a boundary."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..catalogue import DataError
from ..epochs import Batch
from .transcripts import Transcripts

TRAINING, HELD_OUT = 0, 1  # first words of the seeds, so that no two streams meet


class Pieces(Protocol):
    """What lines are made of."""

    @property
    def labels(self) -> np.ndarray:
        """Ids int [P] of the symbols of the pieces."""

    def join(self, places: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        """Frames float32 [T, D] of the pieces at some places, one after the other."""


def draw_line(
    pieces: Pieces, counts: tuple[int, int], frames: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[int]]:
    """Frames [T, D] and ids of a line of counts[0] to counts[1] pieces.

    One of more than `frames` frames loses its last pieces. Raises DataError when a piece alone is
    too long.
    """
    places = rng.integers(len(pieces.labels), size=rng.integers(counts[0], counts[1] + 1)).tolist()
    while len(x := pieces.join(places, rng)) > frames:
        places.pop()
        if not places:
            raise DataError(f"a piece alone takes more than the {frames} frames of a line")
    return x, pieces.labels[places].tolist()


def held_out_lines(
    pieces: Pieces, number: int, counts: tuple[int, int], frames: int, seed: int
) -> Transcripts:
    """Some lines, always the same ones for the same pieces and seed."""
    rng = np.random.default_rng((HELD_OUT, seed))
    found = [draw_line(pieces, counts, frames, rng) for _ in range(number)]
    return Transcripts(*zip(*found, strict=True))


@dataclass(frozen=True)
class TrainingLines:
    """step -> batch of data.transcripts of new lines: a function of (seed, step), of one shape."""

    pieces: Pieces
    batch_size: int
    seed: int
    counts: tuple[int, int]
    frames: int

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step."""
        rng = np.random.default_rng((TRAINING, self.seed, step))
        drawn = [
            draw_line(self.pieces, self.counts, self.frames, rng) for _ in range(self.batch_size)
        ]
        lines = Transcripts(*zip(*drawn, strict=True))
        places = np.arange(self.batch_size)
        return lines.batch(places, (self.frames, self.counts[1]), self.batch_size)
