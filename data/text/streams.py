"""A long text as batches of windows for truncated backpropagation through time.

To train, it is cut into B contiguous lanes, one a row; a held-out text is one lane. Batch after
batch shows the next window of every lane, so the recurrent state of a row is carried on; where it
must not be, `resets` is 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..catalogue import DataError
from ..epochs import Batch


@dataclass(frozen=True)
class TrainingLanes:
    """step -> {"tokens", "targets", "resets"}, each int32 [B, T]; targets are the next tokens.

    A pass over the text takes `windows` steps. Each pass starts at another place, drawn from
    (seed, pass): the text is read as a ring, with a reset where it begins. Raises DataError when
    the text is shorter than one window for each lane.
    """

    ids: np.ndarray
    batch_size: int
    length: int
    seed: int

    def __post_init__(self):
        """Check the length of the text."""
        if self.windows < 1:
            raise DataError(
                f"the training text has {len(self.ids)} symbols; {self.batch_size} lanes "
                f"(config.batch_size) of one window of {self.length} (config.window) need "
                f"{self.batch_size * self.length + 1}"
            )

    @property
    def windows(self) -> int:
        """Windows in a pass."""
        return (len(self.ids) - 1) // self.batch_size // self.length

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step."""
        count = len(self.ids)
        number, window = divmod(step, self.windows)
        offset = np.random.default_rng((self.seed, number)).integers(count)
        lanes = np.arange(self.batch_size)[:, None] * ((count - 1) // self.batch_size)
        within = window * self.length + np.arange(self.length)
        places = (offset + lanes + within) % count
        resets = (places == 0) | (within == 0)
        return {
            "tokens": self.ids[places],
            "targets": self.ids[(places + 1) % count],
            "resets": resets.astype(np.int32),
        }


@dataclass(frozen=True)
class EvaluationWindows:
    """A text from its first symbol to its last, in row 0; adds "mask" [B, T]: 1 = counts.

    Every symbol but the first is a target exactly once, predicted from all that stand before it
    when the state goes from one window to the next: nothing depends on the length of the windows.
    The other rows count for nothing: they are there for devices that divide a batch by its rows.
    Raises DataError when there are fewer than two symbols.
    """

    ids: np.ndarray
    rows: int
    length: int

    def __post_init__(self):
        """Check the length of the text."""
        if len(self.ids) < 2:
            raise DataError(f"a held-out text has {len(self.ids)} symbols, 2 are needed")

    def __len__(self) -> int:
        """Windows."""
        return len(range(0, len(self.ids) - 1, self.length))

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order; the carry is to go from one to the next."""
        targets = len(self.ids) - 1
        shape = (self.rows, self.length)
        first_row = np.arange(self.rows)[:, None] == 0
        for start in range(0, targets, self.length):
            places = np.broadcast_to(start + np.arange(self.length), shape)
            inside = np.minimum(places, targets - 1)
            yield {
                "tokens": self.ids[inside],
                "targets": self.ids[inside + 1],
                "resets": (places == 0).astype(np.int32),
                "mask": (first_row & (places < targets)).astype(np.float32),
            }
