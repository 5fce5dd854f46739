"""Lines of sounds: recordings or tones after one another with pauses, as log-mel spectrograms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..sound.spectrogram import Standard, log_mel, with_deltas
from ..sound.waves import Waves
from .transcripts import Alphabet

Sound = Callable[[int, np.random.Generator], np.ndarray]
SAMPLE = 200  # lines that tell mean and deviation of the features


@dataclass(frozen=True)
class Features:
    """Log-mel spectrogram of a sound, each feature brought to mean 0 and variance 1.

    deltas: with the first and second differences of each band over time.
    """

    rate: int
    bands: int
    deltas: bool = False
    standard: Standard | None = None

    def __call__(self, sound: np.ndarray) -> np.ndarray:
        """Frames float32 [T, D] of a sound float [N] in -1 .. 1."""
        frames = log_mel(sound, self.rate, self.bands)
        frames = with_deltas(frames) if self.deltas else frames
        return self.standard(frames).astype(np.float32) if self.standard else frames

    def fitted(self, sounds) -> "Features":
        """Features with mean and deviation over some sounds."""
        plain = replace(self, standard=None)
        return replace(self, standard=Standard.of(map(plain, sounds)))


@dataclass(frozen=True)
class Sounds:
    """Pieces of lines that are heard; labels are ids of symbols.

    sound(place, rng) -> float [N] in -1 .. 1. pauses: shortest and longest time before, between and
    after two sounds, seconds. quiet: lowest and highest level of the noise that is in all of a
    line, decibel below full scale. gain: highest change of the loudness of a line, decibel. tempo:
    highest relative change of the speed of a sound, its pitch as well.
    """

    sound: Sound
    labels: np.ndarray
    features: Features
    pauses: tuple[float, float] = (0.0, 0.25)
    quiet: tuple[float, float] = (60.0, 60.0)
    gain: float = 0.0
    tempo: float = 0.0

    def wave(self, places: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        """Sound float [N] of a line."""
        rate = self.features.rate
        lengths = np.rint(rate * rng.uniform(*self.pauses, len(places) + 1)).astype(int)
        parts = [np.zeros(lengths[0])]
        for place, pause in zip(places, lengths[1:], strict=True):
            sound = self.sound(place, rng)
            speed = 1 + rng.uniform(-self.tempo, self.tempo)
            times = np.arange(0, len(sound) - 1, speed)
            parts += [np.interp(times, np.arange(len(sound)), sound), np.zeros(pause)]
        line = np.concatenate(parts) * 10 ** (rng.uniform(-self.gain, self.gain) / 20)
        level = 10 ** (-rng.uniform(*self.quiet) / 20)
        return line + level * rng.standard_normal(len(line))

    def join(self, places: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        """Frames float32 [T, D] of a line."""
        return self.features(self.wave(places, rng))

    def fitted(self, seed: int = 0) -> "Sounds":
        """Pieces whose features are brought to mean 0 and variance 1 over some lines of them."""
        rng = np.random.default_rng(seed)
        chosen = rng.integers(len(self.labels), size=(SAMPLE, 3)).tolist()
        waves = (self.wave(places, rng) for places in chosen)
        return replace(self, features=self.features.fitted(waves))


def spoken(waves: Waves, which: np.ndarray, features: Features) -> Sounds:
    """Recordings as pieces, those that `which` bool [R] or int [P] picks."""
    places = np.arange(len(waves.samples))[which]

    def sound(place, rng):
        del rng  # a recording is what it is
        return waves.samples[places[place]]

    return Sounds(sound, waves.labels[places] + 1, features)


def words(waves: Waves) -> Alphabet:
    """What is said in recordings as symbols, each a word of the text."""
    return Alphabet(waves.classes, " ")
