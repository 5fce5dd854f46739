"""A long text as batches of windows for truncated backpropagation through time.

A training text is cut into B contiguous streams, one per row; a held-out text is a single stream.
Consecutive batches hold consecutive windows of each stream, so the recurrent state of a row carries
over; `resets` is 1 where it must not. The ids of a text may have any integer type, and be in a
file that is mapped to memory.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..catalogue import DataError
from ..epochs import ALL, Batch, InMemory, Rows


@dataclass(frozen=True)
class TrainingStreams(InMemory):
    """step -> {"tokens", "targets", "resets"}, each int32 [B, T]; targets are the next tokens.

    A pass over the text takes `windows` steps. Each pass starts at a random offset, drawn from
    (seed, pass): the text is treated as a ring, with a reset at its first symbol. Raises DataError
    when the text is shorter than one window per stream.
    """

    ids: np.ndarray
    batch_size: int
    length: int
    seed: int

    def __post_init__(self) -> None:
        """Check the length of the text."""
        if self.windows < 1:
            raise DataError(
                f"the training text has {len(self.ids)} symbols; {self.batch_size} streams "
                f"(config.batch_size) with one window of {self.length} (config.bptt_length) need "
                f"{self.batch_size * self.length + 1}"
            )

    @property
    def windows(self) -> int:
        """Number of windows per stream in one pass, which is its number of steps."""
        return (len(self.ids) - 1) // self.batch_size // self.length

    def resident(self) -> Mapping[str, np.ndarray]:
        """Return the text."""
        return {"ids": self.ids}

    def plan(self, step: int, rows: Rows = ALL) -> Batch:
        """Return "position" [B] in the text of each window, "begins" [B]: the stream does there."""
        count = len(self.ids)
        number, window = divmod(step, self.windows)
        offset = np.random.default_rng((self.seed, number)).integers(count)
        streams = np.arange(self.batch_size)[rows] * ((count - 1) // self.batch_size)
        position = (offset + streams + window * self.length) % count
        return {"position": position, "begins": np.full(len(position), window == 0)}

    def gather(self, arrays: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any]:
        """Return the windows of a plan."""
        ids, within = arrays["ids"], np.arange(self.length)
        positions = (plan["position"][:, None] + within) % len(ids)
        resets = (positions == 0) | (plan["begins"][:, None] & (within == 0))
        return {
            "tokens": ids[positions].astype(np.int32),
            "targets": ids[(positions + 1) % len(ids)].astype(np.int32),
            "resets": resets.astype(np.int32),
        }


@dataclass(frozen=True)
class EvaluationWindows:
    """A text from its first symbol to its last, in row 0; adds "mask" float32 [B, T]: 1 = counts.

    Every symbol except the first is a target exactly once. With the state carried from window to
    window it is predicted from the whole text before it, so the window length does not matter. The
    other rows are masked; they exist for devices that split a batch by rows. Raises DataError when
    there are fewer than two symbols.
    """

    ids: np.ndarray
    rows: int
    length: int

    def __post_init__(self) -> None:
        """Check the length of the text."""
        if len(self.ids) < 2:
            raise DataError(f"a held-out text has {len(self.ids)} symbols; at least 2 are needed")

    def __len__(self) -> int:
        """Number of windows."""
        return len(range(0, len(self.ids) - 1, self.length))

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order; the state carries over from each to the next."""
        targets = len(self.ids) - 1
        shape = (self.rows, self.length)
        first_row = np.arange(self.rows)[:, None] == 0
        for start in range(0, targets, self.length):
            positions = np.broadcast_to(start + np.arange(self.length), shape)
            clipped = np.minimum(positions, targets - 1)
            yield {
                "tokens": self.ids[clipped].astype(np.int32),
                "targets": self.ids[clipped + 1].astype(np.int32),
                "resets": (positions == 0).astype(np.int32),
                "mask": (first_row & (positions < targets)).astype(np.float32),
            }
