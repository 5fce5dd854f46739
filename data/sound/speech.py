"""Recordings with transcripts: a folder of WAV files and a text for each."""

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
    """Recordings float32 [N_i] in -1 .. 1, all at `rate` Hz; texts; bool [R], true in the test."""

    sounds: list[np.ndarray]
    rate: int
    texts: list[str]
    test: np.ndarray


def load_speech(folder: str) -> Speech:
    """Read all WAV files below a folder, and their transcripts.

    A transcript is a .txt file beside its recording, or a line of transcripts.tsv or
    transcripts.txt in the folder: name, tab or space, text. A name is the path below the folder,
    with or without .wav. Texts are converted to lower case with single spaces. A sub-folder "test"
    is the test set; without one, it is about a tenth of the recordings, chosen by the SHA-1 of
    their names, so the choice does not change when others are added.

    Recordings are resampled to the most frequent rate; a line of output says so. Raises DataError,
    naming the file, for a WAV file that `read_wave` rejects, a recording without a text or a text
    without a recording, and when the training or test set would be empty.
    """
    root = Path(folder).expanduser()
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() == ".wav")
    if not folder or not paths:
        raise DataError(f"speech:FOLDER needs a folder with .wav files; {folder!r} has none")
    names = [path.relative_to(root).with_suffix("").as_posix() for path in paths]
    texts = transcripts(root, names)
    waves = [read_wave(path) for path in paths]
    rate = Counter(rate for rate, _ in waves).most_common(1)[0][0]
    others = [path for path, (own, _) in zip(paths, waves, strict=True) if own != rate]
    if others:
        count = f"{len(others)} of {len(paths)} recordings"
        print(f"resampled {count} to {rate} Hz, for example {others[0]}")
    test = np.array([name.split("/")[0] == TEST for name in names])
    if not test.any():
        digests = [hashlib.sha1(name.encode()).digest() for name in names]
        test = np.array([int.from_bytes(d, "big") % 100 < TEST_PERCENT for d in digests])
    if test.all() or not test.any():
        raise DataError(
            f"{int(test.sum())} of the {len(test)} recordings in {folder} are in the test set; put "
            f"some, but not all, into a sub-folder {TEST!r}"
        )
    sounds = [resample(sound, own, rate) for own, sound in waves]
    return Speech(sounds, rate, texts, test)


def transcripts(root: Path, names: list[str]) -> list[str]:
    """Texts of recordings by name; DataError when one is missing, empty or has no recording."""
    texts = {}
    lists = [root / name for name in LISTS if (root / name).is_file()]
    for path in lists:
        for number, line in enumerate(_read(path).split("\n"), 1):
            if line.strip():
                name, _, text = line.strip().partition("\t" if "\t" in line else " ")
                texts[name.removesuffix(".wav")] = text
                if name.removesuffix(".wav") not in names:
                    raise DataError(f"{path}, line {number}: there is no recording {name}")
    if not lists:
        with_text = [name for name in names if (root / f"{name}.txt").is_file()]
        texts = {name: _read(root / f"{name}.txt") for name in with_text}
    for name in names:
        if not texts.get(name, "").strip():
            raise DataError(f"there is no transcript of {root / name}.wav")
    return [" ".join(texts[name].lower().split()) for name in names]


def read_sound(path: str, rate: int) -> np.ndarray:
    """Sound float32 [N] of a WAV file, resampled to `rate` Hz; DataError as in `read_wave`."""
    own, sound = read_wave(Path(path))
    return resample(sound, own, rate)


def resample(sound: np.ndarray, own: int, rate: int) -> np.ndarray:
    """Resample a sound [N] from `own` Hz to `rate` Hz, through a low-pass filter."""
    if own == rate:
        return sound
    divisor = gcd(own, rate)
    return resample_poly(sound, rate // divisor, own // divisor).astype(np.float32)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
