"""Recordings get transcripts, one sampling rate and a split, or are refused by name."""

import numpy as np
import pytest
from scipy.io import wavfile

from data.catalogue import DataError
from data.sound.files import read_sound
from data.sound.speech import load_speech


def write(path, rate=8000, hertz=440, seconds=0.1):
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(rate * seconds)) / rate
    wavfile.write(path, rate, (8000 * np.sin(2 * np.pi * hertz * time)).astype(np.int16))


@pytest.fixture
def folder(tmp_path):
    for name in ("a/x", "a/y", "test/z"):
        write(tmp_path / f"{name}.wav")
        (tmp_path / f"{name}.txt").write_text(f"  Said in\t{name[-1]} \n")
    return tmp_path


def test_texts_are_files_beside_the_recordings(folder):
    (folder / "a/x.txt").rename(folder / "a/X.TXT")
    (folder / "a/x.wav").rename(folder / "a/x.WAV")
    (folder / "a/._x.wav").write_bytes(b"no sound")
    (folder / "a/._x.txt").write_bytes(b"\xff")
    speech = load_speech(str(folder))
    assert speech.texts == ["said in x", "said in y", "said in z"]
    assert speech.test.tolist() == [False, False, True]
    assert speech.rate == 8000
    assert [sound.shape for sound in speech.sounds] == [(800,)] * 3


@pytest.mark.parametrize("name", ["transcripts.tsv", "transcripts.txt"])
def test_a_list_takes_precedence_over_separate_texts(folder, name):
    between = "\t" if name.endswith("tsv") else " "
    lines = (f"a/x.wav{between}One two", f"a/y{between}Zwei", "", f"test/z{between}drei ")
    (folder / name).write_text("\n".join(lines), encoding="utf-8-sig")
    assert load_speech(str(folder)).texts == ["one two", "zwei", "drei"]
    lines = (f"A/X.WAV{between}eins", f"a/y.flac{between}zwei", f"Test/z.wav{between}drei")
    (folder / name).write_text("\n".join(lines))
    assert load_speech(str(folder)).texts == ["eins", "zwei", "drei"]
    write(folder / "a" / "X.WAV")  # beside a/x.wav
    (folder / name).write_text("\n".join([*lines, f"a/x{between}fünf"]), encoding="utf-8")
    with pytest.raises(DataError, match=r"line 1: several recordings differ from A/X\.WAV"):
        load_speech(str(folder))
    lines = (f"a/X{between}eins", f"a/x{between}fünf", *lines[1:])
    (folder / name).write_text("\n".join(lines), encoding="utf-8")
    assert load_speech(str(folder)).texts == ["eins", "fünf", "zwei", "drei"]


def test_a_tenth_is_the_test_and_the_choice_is_stable(tmp_path):
    for i in range(60):
        write(tmp_path / f"{i}.wav", seconds=0.001)
        (tmp_path / f"{i}.txt").write_text("x")
    before = load_speech(str(tmp_path)).test
    assert 1 <= before.sum() <= 15
    write(tmp_path / "0a.wav", seconds=0.001)
    (tmp_path / "0a.txt").write_text("x")
    names = sorted([f"{i}" for i in range(60)] + ["0a"], key=lambda name: f"{name}.wav")
    after = load_speech(str(tmp_path)).test
    assert np.delete(after, names.index("0a")).tolist() == before.tolist()


def test_recordings_are_resampled_to_the_most_frequent_rate(folder, capsys):
    write(folder / "a" / "y.wav", rate=12000, seconds=0.5)
    sounds = load_speech(str(folder)).sounds
    output = capsys.readouterr().out
    assert output.startswith("resampled 1 of 3 recordings to 8000 Hz, for example ")
    assert output.endswith("y.wav\n")
    assert len(sounds[1]) == 4000
    assert np.abs(np.fft.rfft(sounds[1])).argmax() == 440 * 0.5  # the pitch is as before
    np.testing.assert_array_equal(read_sound(folder / "a" / "y.wav", 8000), sounds[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "a/x.txt").unlink(), r"no transcript of .*a/x\.wav"),
        (lambda f: (f / "a/x.txt").write_text(" \n"), r"no transcript of .*a/x\.wav"),
        (lambda f: (f / "a/x.txt").write_bytes(b"\xff"), r"a/x\.txt is not UTF-8 text: line 1"),
        (lambda f: (f / "a/x.wav").write_bytes(b"MP3"), r"cannot read .*a/x\.wav as WAV"),
        (lambda f: (f / "transcripts.txt").write_text("b/x hm"), "line 1: there is no .* b/x"),
        (lambda f: (f / "transcripts.tsv").write_text("a/x\thm"), r"no transcript of .*a/y\.wav"),
        (lambda f: (f / "test/z.wav").rename(f / "a/x.wav"), "0 of the 2 recordings .*'test'"),
    ],
)
def test_missing_or_broken_files_are_named(folder, change, message):
    change(folder)
    with pytest.raises(DataError, match=message) as caught:
        load_speech(str(folder))
    assert "\n" not in str(caught.value)


def test_a_folder_without_recordings_is_refused(tmp_path):
    for name in ("", str(tmp_path / "none")):
        with pytest.raises(DataError, match="speech:FOLDER needs a folder"):
            load_speech(name)
