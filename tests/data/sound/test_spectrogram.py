"""The spectrogram equals a loop version; bands are standardized over the training recordings."""

import cmath
import math

import numpy as np
import pytest

from data.catalogue import DataError
from data.lines.sounds import Features
from data.sound.spectrogram import (
    check_bands,
    hz_to_mel,
    log_mel,
    mel_filters,
    mel_to_hz,
    spectrograms,
    with_deltas,
)
from data.sound.waves import Waves


def slow_log_mel(sound, rate, bands):
    """Windows, Fourier sums and triangles, one number after the other."""
    window, hop = round(0.025 * rate), round(0.01 * rate)
    size = 1
    while size < window:
        size *= 2
    low, high = (2595 * math.log10(1 + hz / 700) for hz in (50, rate / 2))
    edges = [low + (high - low) * i / (bands + 1) for i in range(bands + 2)]
    hann = [0.5 - 0.5 * math.cos(2 * math.pi * n / window) for n in range(window)]
    out = []
    for start in range(0, len(sound) - window + 1, hop):
        energies = [0.0] * bands
        for k in range(size // 2 + 1):
            value = sum(
                sound[start + n] * hann[n] * cmath.exp(-2j * math.pi * k * n / size)
                for n in range(window)
            )
            power = abs(value) ** 2 / sum(hann) ** 2
            mel = 2595 * math.log10(1 + k * rate / size / 700)
            for band in range(bands):
                below, middle, above = edges[band : band + 3]
                up, down = (mel - below) / (middle - below), (above - mel) / (above - middle)
                energies[band] += power * max(0.0, min(up, down))
        out.append([math.log(max(energy, 1e-10)) for energy in energies])
    return np.array(out)


@pytest.mark.parametrize("length", [25, 39, 50])  # one frame of 25, two of hop 10, three
def test_spectrogram_is_the_slow_one(length):
    rng = np.random.default_rng(length)
    sound = rng.uniform(-1, 1, length)
    actual = log_mel(sound, 1000, 6)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, slow_log_mel(sound, 1000, 6), rtol=1e-5)


def test_a_sound_shorter_than_a_window_has_one_frame():
    sound = np.array([0.5, -0.5, 0.25])
    filled = np.append(sound, np.zeros(22))
    np.testing.assert_array_equal(log_mel(sound, 1000, 6), log_mel(filled, 1000, 6))
    assert log_mel(sound, 1000, 6).shape == (1, 6)
    np.testing.assert_allclose(log_mel(np.zeros(30), 1000, 6), np.log(1e-10), rtol=1e-6)


def test_mel_follows_the_formula_and_can_be_inverted():
    # by definition 1000 Hz are about 1000 mel
    assert hz_to_mel(1000.0) == pytest.approx(1000, abs=0.1)
    assert hz_to_mel(0.0) == 0
    hz = np.linspace(0, 4000, 9)
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(hz)), hz, atol=1e-9)


def test_neighbouring_triangles_sum_up_to_one_and_a_tone_is_in_its_band():
    filters = mel_filters(20, 512, 8000)
    hz = np.arange(257) * 8000 / 512
    edges = mel_to_hz(np.linspace(hz_to_mel(50), hz_to_mel(4000), 22))
    inside = (hz >= edges[1]) & (hz <= edges[-2])
    np.testing.assert_allclose(filters.sum(axis=1)[inside], 1)
    assert not filters[(hz <= 50) | (hz >= 4000)].any()
    for band in (4, 12, 19):
        tone = np.sin(2 * np.pi * edges[band + 1] * np.arange(1600) / 8000)
        assert set(log_mel(tone, 8000, 20).argmax(axis=1)) == {band}


def test_bands_without_a_frequency_are_refused():
    """The largest number is found by looking at every smaller one."""
    assert (mel_filters(128, 256, 8000).max(axis=0) == 0).sum() == 4
    with pytest.raises(DataError, match=r"4 of 128 mel bands .* 8000 Hz; use 95 bands or fewer"):
        check_bands(128, 8000)
    check_bands(95, 8000)
    with pytest.raises(DataError, match="of 64 mel bands"):
        Features(1000, 64).fitted([np.zeros(100)])
    waves = Waves([np.zeros(100)] * 2, 1000, np.zeros(2, np.int32), ("a",), np.zeros(2), None)
    with pytest.raises(DataError, match="of 64 mel bands"):
        spectrograms(waves, np.array([True, False]), 64, 12)


def test_bands_are_standardized_over_the_training_recordings_alone():
    rng = np.random.default_rng(0)
    loudness = np.array([0.1, 0.3, 0.5, 0.9])
    samples = [rng.normal(0, a, n) for a, n in zip(loudness, (60, 90, 300, 45), strict=True)]
    test = np.array([False, False, True, False])
    names = np.array([""] * 4)
    waves = Waves(samples, 1000, np.array([0, 1, 0, 1], np.int32), ("a", "b"), names, test)
    series = spectrograms(waves, test, bands=5, steps=12)
    assert series.x.shape == (4, 12, 5)
    assert series.lengths.tolist() == [4, 7, 12, 3]  # 28 frames of the third are cut to 12
    real = np.concatenate([series.x[i, : series.lengths[i]] for i in (0, 1, 3)])
    np.testing.assert_allclose(real.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(real.std(axis=0), 1, rtol=1e-4)
    assert not series.x[np.arange(12) >= series.lengths[:, None]].any()
    raw = [log_mel(sound, 1000, 5) for sound in samples]
    deviation = np.concatenate([raw[i] for i in (0, 1, 3)]).std(axis=0)
    quietest = [min(raw[i].tolist(), key=sum) for i in (0, 1, 3)]
    # the first frame of the first recording determines the standardization
    expected = series.x[0, 0] + (np.mean(quietest, axis=0) - raw[0][0]) / deviation
    np.testing.assert_allclose(series.rest, expected, rtol=1e-4)
    louder = log_mel(samples[0] * 10**0.05, 1000, 5)
    np.testing.assert_allclose(series.decibel, (louder - raw[0])[0] / deviation, rtol=1e-3)


@pytest.mark.parametrize("length", [1, 2, 7])
def test_deltas_are_the_slope_of_the_line_that_fits_best(length):
    """Least squares over five frames; the first and last frames are repeated beyond the ends."""
    x = np.random.default_rng(length).normal(size=(length, 3))

    def slopes(x):
        out = np.zeros_like(x)
        for t in range(length):
            near = [x[min(max(t + k, 0), length - 1)] for k in range(-2, 3)]
            out[t] = np.polyfit(np.arange(-2, 3), near, 1)[0]
        return out

    actual = with_deltas(x)
    assert actual.dtype == np.float32
    expected = [x, slopes(x), slopes(slopes(x))]
    np.testing.assert_allclose(actual, np.concatenate(expected, axis=1), rtol=1e-5, atol=1e-6)
