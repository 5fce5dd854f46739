"""Log-mel spectrograms: the energy of a sound by time and by frequency as an ear divides it."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..series.labelled import TimeSeries, pad
from .waves import Waves

WINDOW, HOP = 0.025, 0.010  # seconds
LOWEST = 50.0  # Hz; below is hum
FLOOR = 1e-10  # energy of silence, where full scale is 1
REACH = 2  # frames on either side that tell a slope
DECIBEL = np.log(10) / 10  # in natural logarithms of energy


def hz_to_mel(hz):
    """Pitch in mel of a frequency in Hz, 2595 log10(1 + f / 700), the formula of HTK.

    Source: O'Shaughnessy, "Speech communication", 1987; Young et al., "The HTK book", section 5.4.
    """
    return 2595.0 * np.log10(1.0 + np.asarray(hz) / 700.0)


def mel_to_hz(mel):
    """Frequency in Hz of a pitch in mel."""
    return 700.0 * (10.0 ** (np.asarray(mel) / 2595.0) - 1.0)


def mel_filters(bands: int, size: int, rate: int) -> np.ndarray:
    """Weights float64 [size // 2 + 1, bands] that sum a power spectrum into bands.

    size: of the Fourier transform; rate: samples a second. Triangles over the mel scale, as in
    HTK: each rises from the middle of the band below to 1 at its own and falls to that of the band
    above; the middles are equally far apart in mel from 50 Hz to half the rate.
    """
    edges = np.linspace(hz_to_mel(LOWEST), hz_to_mel(rate / 2), bands + 2)
    pitch = hz_to_mel(np.arange(size // 2 + 1) * rate / size)[:, None]
    width = edges[1] - edges[0]
    return np.maximum(0.0, 1.0 - np.abs(pitch - edges[1:-1]) / width)


def log_mel(sound: np.ndarray, rate: int, bands: int) -> np.ndarray:
    """Log-mel spectrogram float32 [T, bands] of a sound float [N] in -1 .. 1.

    Of every window of 25 ms, each 10 ms, under Hann's window: log of the energy in each band,
    1e-10 at the least. A sound shorter than a window is filled up with silence.
    """
    window, hop = round(WINDOW * rate), round(HOP * rate)
    size = 1 << (window - 1).bit_length()
    sound = np.pad(sound, (0, max(0, window - len(sound))))
    frames = np.lib.stride_tricks.sliding_window_view(sound, window)[::hop]
    hann = np.hanning(window + 1)[:-1]
    power = np.abs(np.fft.rfft(frames * hann, size)) ** 2 / hann.sum() ** 2
    energy = power @ mel_filters(bands, size, rate)
    return np.log(np.maximum(energy, FLOOR)).astype(np.float32)


class Standard(NamedTuple):
    """Mean and deviation [D] of each feature, the latter 0.001 at the least."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, parts: Iterable[np.ndarray]) -> "Standard":
        """Those over all frames of some series [T_i, D]."""
        together = np.concatenate(list(parts))
        return cls(together.mean(axis=0), np.maximum(together.std(axis=0), 1e-3))

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Frames [T, D] brought to mean 0 and variance 1."""
        return (frames - self.mean) / self.deviation


def deltas(x: np.ndarray) -> np.ndarray:
    """Slope by time of each column of x [T, D], by regression over two frames on either side.

    d_t = sum_k k (x_(t+k) - x_(t-k)) / (2 sum_k k^2), k = 1, 2; before the first frame is the
    first, after the last the last. Source: Young et al., "The HTK book", section 5.9.
    """
    padded = np.pad(x, ((REACH, REACH), (0, 0)), mode="edge")
    steps = range(1, REACH + 1)
    ahead, behind = (
        [padded[REACH + side * k : REACH + side * k + len(x)] for k in steps] for side in (1, -1)
    )
    total = sum(k * (a - b) for k, a, b in zip(steps, ahead, behind, strict=True))
    return total / (2 * sum(k * k for k in steps))


def with_deltas(x: np.ndarray) -> np.ndarray:
    """Frames float32 [T, 3 D]: x [T, D], T at least 1, its deltas, and the deltas of these."""
    first = deltas(x)
    return np.concatenate([x, first, deltas(first)], axis=1).astype(np.float32)


def spectrograms(waves: Waves, test: np.ndarray, bands: int, steps: int) -> TimeSeries:
    """Log-mel spectrograms of recordings, one frame a step; frames after `steps` are cut off.

    Each band is brought to mean 0 and variance 1 over the frames of those that are not in `test`,
    bool [R]. Rest is what the quietest frame of such a recording is in the mean.
    """
    frames = [log_mel(sound, waves.rate, bands)[:steps] for sound in waves.samples]
    training = [part for part, left_out in zip(frames, test, strict=True) if not left_out]
    standard = Standard.of(training)
    quiet = np.mean([part[part.sum(axis=1).argmin()] for part in training], axis=0)
    return TimeSeries(
        *pad([standard(part) for part in frames], steps),
        labels=waves.labels,
        classes=waves.classes,
        rest=standard(quiet),
        decibel=(DECIBEL / standard.deviation).astype(np.float32),
    )
