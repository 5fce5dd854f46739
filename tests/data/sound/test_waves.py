"""Recordings are read exactly, split as published, or refused by name."""

import wave

import numpy as np
import pytest
from scipy.io import wavfile

from data.catalogue import DataError
from data.sound.waves import load_waves, read_wave


def write(path, values, rate=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, np.asarray(values))
    return path


def sound(*values, dtype=np.int16):
    return np.array(values or [1, -2, 3], dtype)


@pytest.fixture
def digits(tmp_path):
    """Two speakers, two digits and indices 3 to 6; the samples identify each recording."""
    for digit in (0, 1):
        for number, speaker in enumerate(("ann", "bo_b")):
            for index in range(3, 7):
                values = sound(1000 * digit, 100 * number, index)
                write(tmp_path / f"{digit}_{speaker}_{index}.wav", values)
    return tmp_path


def test_names_give_digit_speaker_and_the_published_test(digits):
    (digits / "README.txt").write_text("no sound")
    waves = load_waves(str(digits))
    assert waves.rate == 8000
    assert waves.classes == ("0", "1")
    values = np.rint(np.stack(waves.samples) * 2**15).astype(int)
    np.testing.assert_array_equal(values[:, 0] // 1000, waves.labels)
    assert [("ann", "bo_b")[row[1] // 100] for row in values] == waves.speakers.tolist()
    np.testing.assert_array_equal(waves.held_out("standard"), values[:, 2] < 5)
    np.testing.assert_array_equal(waves.held_out("speaker:bo_b"), values[:, 1] == 100)


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("speaker:an", r"did you mean speaker:ann\?.* speaker:ann, speaker:bo_b$"),
        ("all", "must be standard or speaker:NAME, got 'all'"),
    ],
)
def test_an_unknown_held_out_set_is_refused(digits, which, message):
    with pytest.raises(DataError, match=message):
        load_waves(str(digits)).held_out(which)


def test_sub_folders_are_labels_and_a_speaker_is_in_one_split(tmp_path):
    for speaker in range(40):
        for label in ("yes", "no"):
            write(tmp_path / label / f"{speaker}_nohash_0.wav", sound())
    before = load_waves(str(tmp_path))
    assert before.classes == ("no", "yes")
    assert before.labels.tolist() == [0] * 40 + [1] * 40
    test = before.held_out("standard")
    chosen = set(before.speakers[test])
    assert 0 < len(chosen) < 12
    assert not chosen & set(before.speakers[~test])
    write(tmp_path / "up" / "alone.wav", sound())
    after = load_waves(str(tmp_path))
    assert after.speakers[40] == ""
    assert np.delete(after.held_out("standard"), 40).tolist() == test.tolist()
    assert after.held_out("speaker:3").sum() == 2


def test_eight_sixteen_and_thirty_two_bits_and_two_channels(tmp_path):
    expected = np.array([0.5, -0.25, 0.0], np.float32)
    for dtype in (np.uint8, np.int16, np.int32):
        full, middle = (128, 128) if dtype == np.uint8 else (-float(np.iinfo(dtype).min), 0)
        path = write(tmp_path / "x.wav", (expected * full + middle).astype(dtype))
        rate, actual = read_wave(path)
        assert (rate, actual.dtype) == (8000, np.float32)
        np.testing.assert_array_equal(actual, expected)
    both = np.array([[2000, 4000], [-6000, 0]], np.int16)
    np.testing.assert_allclose(read_wave(write(path, both))[1] * 2**15, [3000, -3000])


def faulty(kind, path):
    """Write a file that cannot be used."""
    if kind == "no WAV":
        path.write_bytes(b"ID3 this is no WAV file at all")
    elif kind == "nothing":
        path.write_bytes(b"")
    elif kind == "cut":
        path.write_bytes(write(path, np.arange(999, dtype=np.int16)).read_bytes()[:600])
    elif kind == "empty":
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
    elif kind == "rate":
        write(path, sound(), rate=16000)
    else:
        write(path, sound(dtype=np.float64))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no WAV", "cannot read .*1_ann_9.wav as WAV"),
        ("nothing", "cannot read .*1_ann_9.wav as WAV"),
        ("cut", "cannot read .*1_ann_9.wav as WAV"),
        ("empty", "1_ann_9.wav has no samples"),
        ("rate", "1_ann_9.wav has a rate of 16000 Hz, but .*0_ann_3.wav has 8000"),
        ("float", "1_ann_9.wav has float64 samples, not integers of 8, 16 or 32 bits"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(digits, kind, message):
    faulty(kind, digits / "1_ann_9.wav")
    with pytest.raises(DataError, match=message) as caught:
        load_waves(str(digits))
    assert "\n" not in str(caught.value)


def test_other_names_and_folders_without_recordings_are_refused(tmp_path):
    for folder in ("", str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(DataError, match="needs a folder with"):
            load_waves(folder)
    write(tmp_path / "hello.wav", sound())
    with pytest.raises(DataError, match=r"hello\.wav is neither .* LABEL_SPEAKER_INDEX"):
        load_waves(str(tmp_path))
