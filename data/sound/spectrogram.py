"""Log-mel spectrograms: the energy of a sound over time in frequency bands of the mel scale."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..catalogue import DataError
from ..series.labelled import TimeSeries, pad
from .waves import Waves

WINDOW, HOP = 0.025, 0.010  # seconds
LOWEST = 50.0  # Hz; lower frequencies are hum
FLOOR = 1e-10  # energy of silence relative to full scale
DELTA_RADIUS = 2  # frames on either side in the regression of a slope
DECIBEL = np.log(10) / 10  # in natural logarithms of energy


def hz_to_mel(hz: ArrayLike) -> np.ndarray:
    """Pitch in mel of a frequency in Hz, 2595 log10(1 + f / 700), the formula of HTK.

    Source: O'Shaughnessy, "Speech communication", 1987; Young et al., "The HTK book", section 5.4.
    """
    return 2595.0 * np.log10(1.0 + np.asarray(hz) / 700.0)


def mel_to_hz(mel: ArrayLike) -> np.ndarray:
    """Frequency in Hz of a pitch in mel."""
    return 700.0 * (10.0 ** (np.asarray(mel) / 2595.0) - 1.0)


def mel_filters(bands: int, size: int, rate: int) -> np.ndarray:
    """Weights float64 [size // 2 + 1, bands] that sum a power spectrum into bands.

    size: length of the Fourier transform; rate: sampling rate, Hz. The filters are triangles on the
    mel scale, as in HTK: each rises from 0 at the centre of the band below to 1 at its own centre
    and falls to 0 at the centre of the band above. The centres are equally spaced in mel between
    50 Hz and half the sampling rate.
    """
    edges = np.linspace(hz_to_mel(LOWEST), hz_to_mel(rate / 2), bands + 2)
    pitch = hz_to_mel(np.arange(size // 2 + 1) * rate / size)[:, None]
    width = edges[1] - edges[0]
    return np.maximum(0.0, 1.0 - np.abs(pitch - edges[1:-1]) / width)


def check_bands(bands: int, rate: int) -> None:
    """Raise DataError when a band lies between two frequencies of the Fourier transform."""

    def silent(count: int) -> int:
        return int((mel_filters(count, transform_size(rate), rate).max(axis=0) == 0).sum())

    if empty := silent(bands):
        most = next((count for count in range(bands, 0, -1) if not silent(count)), 0)
        raise DataError(
            f"{empty} of {bands} mel bands have no frequency of a sound at {rate} Hz; "
            f"use {most} bands or fewer"
        )


def transform_size(rate: int) -> int:
    """Length of the Fourier transform of a window: the next power of two."""
    return 1 << (round(WINDOW * rate) - 1).bit_length()


def log_mel(sound: np.ndarray, rate: int, bands: int) -> np.ndarray:
    """Log-mel spectrogram float32 [T, bands] of a sound float [N] in -1 .. 1.

    A frame is the log energy of each band, at least log(1e-10), in a Hann window of 25 ms; there is
    one every 10 ms. A sound shorter than a window is padded with silence.
    """
    window, hop = round(WINDOW * rate), round(HOP * rate)
    size = transform_size(rate)
    sound = np.pad(sound, (0, max(0, window - len(sound))))
    frames = np.lib.stride_tricks.sliding_window_view(sound, window)[::hop]
    hann = np.hanning(window + 1)[:-1]
    power = np.abs(np.fft.rfft(frames * hann, size)) ** 2 / hann.sum() ** 2
    energy = power @ mel_filters(bands, size, rate)
    return np.log(np.maximum(energy, FLOOR)).astype(np.float32)


class Standardizer(NamedTuple):
    """Mean and standard deviation [D] of each feature; the deviation is at least 0.001."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def from_series(cls, series: Iterable[np.ndarray]) -> "Standardizer":
        """Statistics over all frames of some series [T_i, D]."""
        frames = np.concatenate(list(series))
        return cls(frames.mean(axis=0), np.maximum(frames.std(axis=0), 1e-3))

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Frames [T, D] standardized to mean 0 and variance 1."""
        return (frames - self.mean) / self.deviation


def deltas(x: np.ndarray) -> np.ndarray:
    """Slope over time of each column of x [T, D], by regression over two frames on either side.

    d_t = sum_k k (x_(t+k) - x_(t-k)) / (2 sum_k k^2), k = 1, 2; the first and last frames are
    repeated beyond the ends. Source: Young et al., "The HTK book", section 5.9.
    """
    padded = np.pad(x, ((DELTA_RADIUS, DELTA_RADIUS), (0, 0)), mode="edge")
    steps = range(1, DELTA_RADIUS + 1)
    forward, backward = (
        [padded[DELTA_RADIUS + side * k : DELTA_RADIUS + side * k + len(x)] for k in steps]
        for side in (1, -1)
    )
    total = sum(k * (a - b) for k, a, b in zip(steps, forward, backward, strict=True))
    return total / (2 * sum(k * k for k in steps))


def with_deltas(x: np.ndarray) -> np.ndarray:
    """Frames float32 [T, 3 D]: x [T, D] with T >= 1, its deltas, and the deltas of these."""
    first = deltas(x)
    return np.concatenate([x, first, deltas(first)], axis=1).astype(np.float32)


def spectrograms(waves: Waves, test: np.ndarray, bands: int, steps: int) -> TimeSeries:
    """Log-mel spectrograms of recordings, one frame per step; frames after `steps` are cut off.

    Each band is standardized over the frames of the recordings outside `test`, bool [R]. Rest is
    the mean of the quietest frames of these recordings. Raises DataError as `check_bands` does.
    """
    check_bands(bands, waves.rate)
    frames = [log_mel(sound, waves.rate, bands)[:steps] for sound in waves.samples]
    training = [x for x, is_test in zip(frames, test, strict=True) if not is_test]
    standardize = Standardizer.from_series(training)
    quiet = np.mean([x[x.sum(axis=1).argmin()] for x in training], axis=0)
    return TimeSeries(
        *pad([standardize(x) for x in frames], steps),
        labels=waves.labels,
        classes=waves.classes,
        rest=standardize(quiet),
        decibel=(DECIBEL / standardize.deviation).astype(np.float32),
    )
