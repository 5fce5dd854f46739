"""Labelled time series in memory, their augmentation, and batches of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..epochs import ALL, Batch, Rows, check_batch_size, epoch_examples, take_rows
from ..tabular.batches import padded, sha256_of


def pad(series: Sequence[np.ndarray], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Pad series [T_i, D] with zeros to float32 [N, steps, D]; also returns lengths int32 [N].

    Steps after `steps` are cut off.
    """
    lengths = np.array([min(len(frames), steps) for frames in series], np.int32)
    x = np.zeros((len(series), steps, series[0].shape[1]), np.float32)
    x[np.arange(steps) < lengths[:, None]] = np.concatenate([frames[:steps] for frames in series])
    return x, lengths


@dataclass(frozen=True)
class TimeSeries:
    """Series float32 [N, T, D], zero after lengths int32 [N]; labels int32 [N]; class names.

    rest: float32 [D], a step without any activity. decibel: float32 [D], the change of a step when
    the series is one decibel louder; zero for features without loudness.
    """

    x: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    rest: np.ndarray
    decibel: np.ndarray

    @property
    def sha256(self) -> str:
        """Hex digest of series, lengths and labels."""
        return sha256_of(self.x, self.lengths, self.labels)

    def subset(self, indices: slice | np.ndarray) -> "TimeSeries":
        """Return the examples selected by a slice, by indices or by bools."""
        x, lengths, labels = (a[indices] for a in (self.x, self.lengths, self.labels))
        return replace(self, x=x, lengths=lengths, labels=labels)

    def delayed(self, offsets: np.ndarray) -> "TimeSeries":
        """Delay each series by offsets int [N] steps of rest, which count as part of the series.

        Steps after the end of T are cut off.
        """
        steps = self.x.shape[1]
        lengths = np.minimum(self.lengths + offsets, steps).astype(np.int32)
        indices = np.arange(steps) - offsets[:, None]
        x = self.x[np.arange(len(self.x))[:, None], np.maximum(indices, 0)]
        x = np.where((indices < 0)[..., None], self.rest, x)
        return replace(self, x=x.astype(np.float32), lengths=lengths)

    def augmented(
        self, shift: int, gain: float, noise: float, key: tuple[int, ...]
    ) -> "TimeSeries":
        """Delay every series, change its loudness and add noise, at random but determined by `key`.

        shift: largest delay, steps, less where the end would be cut off. gain: largest change of
        loudness, decibel. noise: standard deviation of Gaussian noise on each number.
        """
        rng = np.random.default_rng((*key, 1))
        count, steps, _ = self.x.shape
        largest = np.minimum(shift, steps - self.lengths)
        delayed = self.delayed(rng.integers(0, largest + 1))
        change = rng.uniform(-gain, gain, (count, 1, 1)).astype(np.float32) * self.decibel
        x = (
            delayed.x
            + change
            + np.float32(noise) * rng.standard_normal(delayed.x.shape, np.float32)
        )
        valid = np.arange(steps) < delayed.lengths[:, None]
        return replace(delayed, x=np.where(valid[..., None], x, np.float32(0)))


@dataclass(frozen=True)
class TrainingSeries:
    """step -> {"x" [B, T, D], "lengths" [B], "label" [B]}: every example once per epoch.

    The augmentation is a function of (seed, step). Raises DataError when a batch is larger than
    the set.
    """

    source: TimeSeries
    batch_size: int
    seed: int
    shift: int = 0
    gain: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        """Check the sizes."""
        check_batch_size(self.batch_size, len(self.source.labels))

    def __call__(self, step: int, rows: Rows = ALL) -> Batch:
        """Return the rows of the batch of a step."""
        indices = epoch_examples(self.seed, step, self.batch_size, len(self.source.labels))
        examples = self.source.subset(indices)
        examples = examples.augmented(self.shift, self.gain, self.noise, (self.seed, step))
        batch = {"x": examples.x, "lengths": examples.lengths, "label": examples.labels}
        return take_rows(batch, rows)


@dataclass(frozen=True)
class EvaluationSeries:
    """Every example once, in order, with "mask" [B]; rows that fill the last batch have length 0.

    The other keys are those of TrainingSeries.
    """

    source: TimeSeries
    batch_size: int

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches of exactly batch_size rows."""
        for start in range(0, len(self.source.labels), self.batch_size):
            examples = self.source.subset(slice(start, start + self.batch_size))
            rows = {"x": examples.x, "lengths": examples.lengths, "label": examples.labels}
            yield padded(rows, self.batch_size)
