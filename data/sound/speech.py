"""Recordings with transcripts: a folder of WAV files, and what is said in each."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from ..catalogue import DataError
from .waves import TEST_PERCENT, read_wave

LISTS = ("transcripts.tsv", "transcripts.txt")
TEST = "test"


@dataclass(frozen=True)
class Speech:
    """Recordings float32 [N_i] in -1 .. 1, all at `rate` Hz, texts, and bool [R]: the test."""

    sounds: list[np.ndarray]
    rate: int
    texts: list[str]
    test: np.ndarray


def load_speech(folder: str) -> Speech:
    """Read every WAV file below a folder, and its transcript.

    A transcript stands in a .txt file beside its recording, or all stand in the folder's
    transcripts.tsv or transcripts.txt, a line each: name, tab or space, text. A name is the path
    below the folder, with or without .wav. Texts are put in small letters, with single spaces. A
    sub-folder "test" is the test; without one, about a tenth of the recordings, chosen by the SHA-1
    of their names, so that they stay when others are added.

    Recordings of another rate than most are resampled, which is said in a line. Raises DataError,
    naming the file, for what `read_wave` refuses, a recording without a text or a text without a
    recording, and when training or test would be empty.
    """
    root = Path(folder).expanduser()
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() == ".wav")
    if not folder or not paths:
        raise DataError(
            f"speech:FOLDER needs a folder with .wav files, there is none in {folder!r}"
        )
    names = [path.relative_to(root).with_suffix("").as_posix() for path in paths]
    texts = transcripts(root, names)
    read = [read_wave(path) for path in paths]
    rate = Counter(rate for rate, _ in read).most_common(1)[0][0]
    others = [path for path, (own, _) in zip(paths, read, strict=True) if own != rate]
    if others:
        print(
            f"resampled {len(others)} of {len(paths)} recordings to {rate} samples a second, "
            f"{others[0]} among them"
        )
    test = np.array([name.split("/")[0] == TEST for name in names])
    if not test.any():
        digests = [hashlib.sha1(name.encode()).digest() for name in names]
        test = np.array([int.from_bytes(d, "big") % 100 < TEST_PERCENT for d in digests])
    if test.all() or not test.any():
        raise DataError(
            f"{int(test.sum())} of the {len(test)} recordings in {folder} are the test: put some, "
            f"but not all, into a sub-folder {TEST!r}"
        )
    sounds = [resampled(sound, own, rate) for own, sound in read]
    return Speech(sounds, rate, texts, test)


def transcripts(root: Path, names: list[str]) -> list[str]:
    """Texts of recordings by name; DataError when one is missing, empty, or nobody's."""
    found = {}
    listed = [root / name for name in LISTS if (root / name).is_file()]
    for path in listed:
        for number, line in enumerate(_read(path).split("\n"), 1):
            if line.strip():
                name, _, text = line.strip().partition("\t" if "\t" in line else " ")
                found[name.removesuffix(".wav")] = text
                if name.removesuffix(".wav") not in names:
                    raise DataError(f"{path}, line {number}: there is no recording {name}")
    if not listed:
        there = [name for name in names if (root / f"{name}.txt").is_file()]
        found = {name: _read(root / f"{name}.txt") for name in there}
    for name in names:
        if not found.get(name, "").strip():
            raise DataError(f"there is no transcript of {root / name}.wav")
    return [" ".join(found[name].lower().split()) for name in names]


def read_sound(path: str, rate: int) -> np.ndarray:
    """Sound float32 [N] of a WAV file at `rate` samples a second; DataError as of `read_wave`."""
    own, sound = read_wave(Path(path))
    return resampled(sound, own, rate)


def resampled(sound: np.ndarray, own: int, rate: int) -> np.ndarray:
    """Sound [N] of `own` samples a second at `rate`, through a low-pass filter."""
    if own == rate:
        return sound
    shared = gcd(own, rate)
    return resample_poly(sound, rate // shared, own // shared).astype(np.float32)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
