"""Telephone numbers as the tones of a keypad: synthetic recordings that need no file."""

import numpy as np

from .sounds import Features, Sounds
from .transcripts import Alphabet

RATE = 8000  # sampling rate, Hz
KEYS = Alphabet(tuple("123A456B789C*0#D"))
LOW, HIGH = (697, 770, 852, 941), (1209, 1336, 1477, 1633)  # Hz, for the rows and the columns
SECONDS = 0.04, 0.2  # shortest and longest tone
DETUNING = 0.015  # largest relative error of a frequency
TWIST = 6.0  # largest attenuation of each of the two sines, decibel
NOISE = 6.0, 30.0  # level of the noise, decibel below full scale


def tone(key: int, rng: np.random.Generator) -> np.ndarray:
    """Sound float64 [N] of a key 0 to 15: the sum of two sines, for its row and its column.

    Length, loudness, phases and small frequency errors are random. Source: ITU-T recommendation
    Q.23, "Technical features of push-button telephone sets", 1988; an exchange must accept 1.5 %.
    """
    time = np.arange(round(rng.uniform(*SECONDS) * RATE)) / RATE
    hertz = np.array([LOW[key // 4], HIGH[key % 4]]) * (1 + rng.uniform(-DETUNING, DETUNING, 2))
    amplitude = 0.25 * 10 ** (-rng.uniform(0, TWIST, 2) / 20)
    phase = rng.uniform(0, 2 * np.pi, 2)
    return amplitude @ np.sin(2 * np.pi * np.outer(hertz, time) + phase[:, None])


def tones(features: Features) -> Sounds:
    """The sixteen keys as pieces of lines, in strong noise, with pauses of 40 to 200 ms.

    features: settings of the spectrograms; their rate is RATE.
    """
    labels = np.arange(len(KEYS.symbols)) + 1
    return Sounds(tone, labels, features, pauses=(0.04, 0.2), quiet=NOISE).fitted()
