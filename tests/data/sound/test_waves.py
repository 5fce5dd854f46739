"""Recordings are read exactly, split as published, or refused by name."""

import struct
import wave

import numpy as np
import pytest
import soundfile
from scipy.io import wavfile

from data.catalogue import DataError
from data.sound.files import read_sound, read_sound_file
from data.sound.waves import load_waves


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
        ("all", "must be standard or speaker:NAME, got 'all'$"),
        ("standrd", r"got 'standrd' \(did you mean standard\?\)"),
        ("speakr:ann", r"\(did you mean speaker:ann\?\)"),
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
        rate, actual = read_sound_file(path)
        assert (rate, actual.dtype) == (8000, np.float32)
        np.testing.assert_array_equal(actual, expected)
    both = np.array([[2000, 4000], [-6000, 0]], np.int16)
    np.testing.assert_allclose(read_sound_file(write(path, both))[1] * 2**15, [3000, -3000])


def riff(samples, sizes=None, channels=1, rate=8000, extra=b""):
    """WAV file of 16 bits; sizes: what the header says of the file and of its samples."""
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, channels, rate, 2 * rate, 2, 16)
    body = b"WAVE" + form + b"data"
    whole, part = sizes or (len(body) + 4 + len(samples) + len(extra), len(samples))
    return b"RIFF" + struct.pack("<I", whole) + body + struct.pack("<I", part) + samples + extra


def test_other_formats_and_streams_without_sizes(tmp_path):
    """24 bits, floats, the extensible format, FLAC, OGG, and files written as a stream."""
    values = (8000 * np.sin(np.arange(800) / 9)).astype(np.int16)
    expected = values.astype(np.float32) / 2**15
    formats = {"WAV": ["PCM_24", "FLOAT", "DOUBLE"], "WAVEX": ["PCM_16", "PCM_24", "FLOAT"]}
    for format, kinds in {**formats, "FLAC": ["PCM_16", "PCM_24"], "OGG": ["VORBIS"]}.items():
        for kind in kinds:
            path = tmp_path / f"x.{format.lower()[:4].removesuffix('e')}"
            soundfile.write(path, expected, 8000, kind, format=format)
            rate, found = read_sound_file(path)
            assert (rate, found.dtype, found.shape) == (8000, np.float32, (800,))
            np.testing.assert_allclose(found, expected, atol=0.05 if kind == "VORBIS" else 1e-6)
    for sizes in ((0, 0), (2**32 - 1, 2**32 - 1), (0x7FFFFFFF, 0x7FFFFFFF - 36), None):
        extra = b"LIST" + struct.pack("<I", 2) + b"ab" if sizes is None else b""
        (tmp_path / "x.wav").write_bytes(riff(values.tobytes(), sizes, extra=extra))
        np.testing.assert_array_equal(read_sound_file(tmp_path / "x.wav")[1], expected)
    (tmp_path / "x.wav").write_bytes(riff(b"", extra=b"LIST" + struct.pack("<I", 2) + b"ab"))
    with pytest.raises(DataError, match=r"x.wav has no samples"):
        read_sound_file(tmp_path / "x.wav")


def test_files_of_several_rates_and_formats_are_read_but_not_those_of_systems(digits, capsys):
    for name in ("._0_ann_3.wav", ".DS_Store", "Thumbs.db", "desktop.ini", "0_ann_3.wav~"):
        (digits / name).write_bytes(b"no sound")
    (digits / "__MACOSX").mkdir()
    (digits / "__MACOSX" / "2_x_1.wav").write_bytes(b"no sound")
    soundfile.write(digits / "1_ann_9.flac", np.zeros(160), 16000)
    waves = load_waves(str(digits))
    assert waves.rate == 8000
    assert waves.classes == ("0", "1")
    assert [len(sound) for sound in waves.samples] == [3] * 12 + [80] + [3] * 4
    message = f"1 of 17 recordings to 8000 Hz, for example {digits / '1_ann_9.flac'}\n"
    assert capsys.readouterr().out == f"resampled {message}"
    assert len(read_sound(digits / "1_ann_9.flac", 8000)) == 80
    assert capsys.readouterr().out.endswith("1_ann_9.flac from 16000 to 8000 Hz\n")
    soundfile.write(digits / "1_ann_9.wav", np.zeros(160), 8000)
    with pytest.raises(DataError, match=r"1_ann_9.flac and .*1_ann_9.wav are two recordings of"):
        load_waves(str(digits))


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
    elif kind == "cut flac":
        soundfile.write(path.with_suffix(".flac"), np.linspace(-1, 1, 9999), 8000)
        content = path.with_suffix(".flac").read_bytes()
        path.with_suffix(".flac").write_bytes(content[: len(content) // 2])
    elif kind == "nan":
        write(path, np.array([0.1, np.nan], np.float32))
    elif kind == "no channels":
        path.write_bytes(riff(sound().tobytes(), channels=0))
    else:
        write(path, sound(), rate=1)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no WAV", "cannot read .*1_ann_9.wav as WAV"),
        ("nothing", "cannot read .*1_ann_9.wav as WAV"),
        ("cut", "cannot read .*1_ann_9.wav as WAV"),
        ("empty", "1_ann_9.wav has no samples"),
        ("cut flac", "cannot read .*1_ann_9.flac as FLAC"),
        ("nan", "1_ann_9.wav has samples that are not finite"),
        ("no channels", "cannot read .*1_ann_9.wav as WAV: Channel count is zero"),
        ("rate", "1_ann_9.wav has a rate of 1 Hz, not of 1000 to 768000 Hz"),
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
