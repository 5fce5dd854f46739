"""Labelled time series in memory, moved in time and made louder, and batches of them."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..epochs import Batch, check_batch_size, epoch_examples


def pad(series: Sequence[np.ndarray], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Series [T_i, D] as float32 [N, steps, D], zero after the end of each, and lengths int32 [N].

    Steps after `steps` are cut off.
    """
    lengths = np.array([min(len(part), steps) for part in series], np.int32)
    x = np.zeros((len(series), steps, series[0].shape[1]), np.float32)
    x[np.arange(steps) < lengths[:, None]] = np.concatenate([part[:steps] for part in series])
    return x, lengths


@dataclass(frozen=True)
class TimeSeries:
    """Series float32 [N, T, D], zero after lengths int32 [N]; labels int32 [N]; names of classes.

    rest: float32 [D], a step in which nothing happens. decibel: float32 [D], what a step gains when
    all is a decibel louder; zero where there is no loudness.
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
        digest = hashlib.sha256()
        for array in (self.x, self.lengths, self.labels):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def part(self, which) -> "TimeSeries":
        """Return the examples that a slice, an array of indices or of bools picks."""
        x, lengths, labels = (a[which] for a in (self.x, self.lengths, self.labels))
        return replace(self, x=x, lengths=lengths, labels=labels)

    def moved(self, offsets: np.ndarray) -> "TimeSeries":
        """Begin every series int [N] steps later, after as many steps of rest.

        The rest counts as steps of the series. What goes over the end of T is cut off.
        """
        steps = self.x.shape[1]
        lengths = np.minimum(self.lengths + offsets, steps).astype(np.int32)
        places = np.arange(steps) - offsets[:, None]
        x = self.x[np.arange(len(self.x))[:, None], np.maximum(places, 0)]
        x = np.where((places < 0)[..., None], self.rest, x)
        return replace(self, x=x.astype(np.float32), lengths=lengths)

    def augmented(self, shift: int, gain: float, noise: float, key: tuple[int, ...]):
        """Every series moved, made louder or softer, and disturbed, by draws of `key` alone.

        shift: the most steps of rest before it, as far as it is not cut off by that; gain: the
        highest change, decibel; noise: standard deviation of what is added to every number.
        """
        rng = np.random.default_rng((*key, 1))
        count, steps, _ = self.x.shape
        room = np.minimum(shift, steps - self.lengths)
        out = self.moved(rng.integers(0, room + 1))
        louder = rng.uniform(-gain, gain, (count, 1, 1)).astype(np.float32) * self.decibel
        x = out.x + louder + np.float32(noise) * rng.standard_normal(out.x.shape, np.float32)
        real = np.arange(steps) < out.lengths[:, None]
        return replace(out, x=np.where(real[..., None], x, np.float32(0)))


@dataclass(frozen=True)
class TrainingSeries:
    """step -> {"x" [B, T, D], "lengths" [B], "label" [B]}: every example once in each epoch.

    The augmentation is a function of (seed, step). Raises DataError when a batch is larger than
    the set.
    """

    source: TimeSeries
    batch_size: int
    seed: int
    shift: int = 0
    gain: float = 0.0
    noise: float = 0.0

    def __post_init__(self):
        """Check the sizes."""
        check_batch_size(self.batch_size, len(self.source.labels))

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step."""
        chosen = epoch_examples(self.seed, step, self.batch_size, len(self.source.labels))
        part = self.source.part(chosen)
        part = part.augmented(self.shift, self.gain, self.noise, (self.seed, step))
        return {"x": part.x, "lengths": part.lengths, "label": part.labels}


@dataclass(frozen=True)
class EvaluationSeries:
    """Every example once, in order, with "mask" [B]; rows that fill the last batch are of length 0.

    The keys are those of TrainingSeries.
    """

    source: TimeSeries
    batch_size: int

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches of exactly batch_size rows."""
        for start in range(0, len(self.source.labels), self.batch_size):
            part = self.source.part(slice(start, start + self.batch_size))
            rows = len(part.labels)
            fill = self.batch_size - rows
            yield {
                "x": np.pad(part.x, [(0, fill), (0, 0), (0, 0)]),
                "lengths": np.pad(part.lengths, (0, fill)),
                "label": np.pad(part.labels, (0, fill)),
                "mask": (np.arange(self.batch_size) < rows).astype(np.float32),
            }
