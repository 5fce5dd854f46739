"""Lines of sounds, recordings or tones separated by pauses, as log-mel spectrograms."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..sound.spectrogram import Standardizer, check_bands, log_mel, with_deltas
from ..sound.waves import Waves
from .transcripts import Alphabet

Sound = Callable[[int, np.random.Generator], np.ndarray]
FIT_LINES = 200  # random lines to estimate the mean and deviation of the features from


@dataclass(frozen=True)
class Features:
    """Log-mel spectrogram of a sound, with features standardized to mean 0 and variance 1.

    rate: sampling rate, Hz. deltas: append the first and second differences of each band over time.
    """

    rate: int
    bands: int
    deltas: bool = False
    standardizer: Standardizer | None = None

    @classmethod
    def from_bytes(cls, content: bytes) -> "Features":
        """Features of `to_bytes`."""
        fields = json.loads(content)
        if statistics := fields.pop("standardizer"):
            standardizer = Standardizer(*(np.array(values) for values in statistics))
            return cls(**fields, standardizer=standardizer)
        return cls(**fields)

    def to_bytes(self) -> bytes:
        """Return the settings, and the mean and deviation of each feature, in JSON."""
        statistics = [values.tolist() for values in self.standardizer or ()]
        fields = {"rate": self.rate, "bands": self.bands, "deltas": self.deltas}
        return json.dumps({**fields, "standardizer": statistics}).encode()

    def __call__(self, sound: np.ndarray) -> np.ndarray:
        """Frames float32 [T, D] of a sound float [N] in -1 .. 1."""
        frames = log_mel(sound, self.rate, self.bands)
        frames = with_deltas(frames) if self.deltas else frames
        return self.standardizer(frames).astype(np.float32) if self.standardizer else frames

    def fitted(self, sounds: Iterable[np.ndarray]) -> "Features":
        """Features standardized over some sounds; DataError as `check_bands` raises it."""
        check_bands(self.bands, self.rate)
        plain = replace(self, standardizer=None)
        return replace(self, standardizer=Standardizer.from_series(map(plain, sounds)))


@dataclass(frozen=True)
class Sounds:
    """Sounds as pieces of lines; labels are symbol ids.

    sound(index, rng) -> float [N] in -1 .. 1. pauses: shortest and longest pause before, between
    and after sounds, seconds. quiet: least and greatest attenuation of the noise of a line, decibel
    below full scale. gain: largest change of the loudness of a line, decibel. tempo: largest
    relative change of the speed of a sound, which also changes its pitch.
    """

    sound: Sound
    labels: np.ndarray
    features: Features
    pauses: tuple[float, float] = (0.0, 0.25)
    quiet: tuple[float, float] = (60.0, 60.0)
    gain: float = 0.0
    tempo: float = 0.0

    def wave(self, indices: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        """Sound float [N] of a line of the pieces at `indices`."""
        rate = self.features.rate
        pauses = np.rint(rate * rng.uniform(*self.pauses, len(indices) + 1)).astype(int)
        segments = [np.zeros(pauses[0])]
        for index, pause in zip(indices, pauses[1:], strict=True):
            sound = self.sound(index, rng)
            speed = 1 + rng.uniform(-self.tempo, self.tempo)
            times = np.arange(0, len(sound) - 1, speed)
            segments += [np.interp(times, np.arange(len(sound)), sound), np.zeros(pause)]
        line = np.concatenate(segments) * 10 ** (rng.uniform(-self.gain, self.gain) / 20)
        noise = 10 ** (-rng.uniform(*self.quiet) / 20)
        return line + noise * rng.standard_normal(len(line))

    def join(self, indices: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        """Frames float32 [T, D] of a line of the pieces at `indices`."""
        return self.features(self.wave(indices, rng))

    def fitted(self, seed: int = 0) -> "Sounds":
        """Pieces with features standardized over some random lines of them."""
        rng = np.random.default_rng(seed)
        chosen = rng.integers(len(self.labels), size=(FIT_LINES, 3)).tolist()
        waves = (self.wave(indices, rng) for indices in chosen)
        return replace(self, features=self.features.fitted(waves))


def word_pieces(waves: Waves, which: np.ndarray, features: Features) -> Sounds:
    """Recordings of words as pieces, selected by `which`, bool [R] or int [P]."""
    indices = np.arange(len(waves.samples))[which]

    def sound(index: int, rng: np.random.Generator) -> np.ndarray:
        del rng  # recordings do not vary
        return waves.samples[indices[index]]

    return Sounds(sound, waves.labels[indices] + 1, features)


def word_alphabet(waves: Waves) -> Alphabet:
    """Alphabet of the classes of recordings, each a word of the text."""
    return Alphabet(waves.classes, " ")
