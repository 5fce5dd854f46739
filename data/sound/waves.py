"""Recordings in WAV files as labelled data, and which of them are the test."""

import hashlib
import re
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from ..catalogue import DataError, nearest

NAME = re.compile(r"(?P<label>[^_]+)_(?P<speaker>.+)_(?P<index>\d+)")
TEST_INDICES = 5  # recordings 0 to 4 of each digit and speaker
TEST_PERCENT = 10


@dataclass(frozen=True)
class Waves:
    """Recordings: samples, a list of float32 [N_i] in -1 .. 1, all at `rate` Hz.

    Labels int32 [R], numbers of `classes`; speakers [R], "" where the name tells none; test: bool
    [R], those of the published test set.
    """

    samples: list[np.ndarray]
    rate: int
    labels: np.ndarray
    classes: tuple[str, ...]
    speakers: np.ndarray
    test: np.ndarray

    def held_out(self, which: str) -> np.ndarray:
        """Bool [R], true where a recording is held out: "standard" or "speaker:NAME".

        Raises DataError when it is neither, when there is no such speaker, and when one of the
        parts would be empty.
        """
        if which == "standard":
            chosen = self.test
        elif which.startswith("speaker:"):
            chosen = self.speakers == which.removeprefix("speaker:")
        else:
            raise DataError(f"held_out must be standard or speaker:NAME, got {which!r}")
        if not chosen.any() or chosen.all():
            there = sorted({f"speaker:{name}" for name in self.speakers if name})
            raise DataError(
                f"held_out {which!r} leaves {int((~chosen).sum())} recordings for training and "
                f"{int(chosen.sum())} for the test{nearest(which, there)}; "
                f"there are standard, {', '.join(there) or 'and no speakers'}"
            )
        return chosen


def load_waves(folder: str) -> Waves:
    """Read every WAV file of a folder: a sub-folder a label, or files named LABEL_SPEAKER_INDEX.

    Flat, as the Free Spoken Digit Dataset has it: 7_george_12.wav; its test set are the indices 0
    to 4 of each digit and speaker. In sub-folders, as Speech Commands has it (Warden 2018), the
    speaker is what stands before the first "_" of a name, and about a tenth of the speakers are the
    test, chosen by the SHA-1 of their names, so that they stay when others are added; of files
    without a speaker, a tenth of the files.

    Raises DataError, naming the file, for a name of another form, for what is no WAV file of 8, 16
    or 32 bits, holds no sound, or has another rate than the first one.
    """
    root = Path(folder).expanduser()
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() == ".wav")
    if not folder or not paths:
        raise DataError(f"waves:FOLDER needs a folder with .wav files, there is none in {folder!r}")
    described = [describe(path.relative_to(root), root) for path in paths]
    labels, speakers, test = (list(column) for column in zip(*described, strict=True))
    classes = tuple(sorted(set(labels)))
    rate, first = read_wave(paths[0])
    samples = [first]
    for path in paths[1:]:
        other, sound = read_wave(path)
        if other != rate:
            raise DataError(f"{path} has {other} samples a second, {paths[0]} has {rate}")
        samples.append(sound)
    places = np.array([classes.index(label) for label in labels], np.int32)
    return Waves(samples, rate, places, classes, np.array(speakers), np.array(test))


def describe(path: Path, root: Path) -> tuple[str, str, bool]:
    """Label, speaker and whether it is of the test, by the path of a file below `root`."""
    if len(path.parts) > 1:
        speaker = path.stem.partition("_")[0] if "_" in path.stem else ""
        digest = hashlib.sha1((speaker or path.as_posix()).encode()).digest()
        return path.parts[0], speaker, int.from_bytes(digest, "big") % 100 < TEST_PERCENT
    found = NAME.fullmatch(path.stem)
    if not found:
        raise DataError(
            f"{root / path} is neither in a folder of its label nor named "
            "LABEL_SPEAKER_INDEX.wav, as 7_george_12.wav is"
        )
    return found["label"], found["speaker"], int(found["index"]) < TEST_INDICES


def read_wave(path: Path) -> tuple[int, np.ndarray]:
    """Samples a second, and the sound float32 [N] in -1 .. 1, several channels mixed to one.

    Raises DataError naming the file when it cannot be read, is cut short, holds nothing, or holds
    anything but whole numbers of 8, 16 or 32 bits.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", wavfile.WavFileWarning)
            # chunks of text about the recording
            warnings.filterwarnings("ignore", message="Chunk", category=wavfile.WavFileWarning)
            rate, values = wavfile.read(path)
    except (ValueError, OSError, EOFError, struct.error, wavfile.WavFileWarning) as error:
        raise DataError(f"cannot read {path} as WAV: {error}") from error
    if not values.size:
        raise DataError(f"{path} holds no sound")
    if values.dtype == np.uint8:
        sound = (values.astype(np.float32) - 128) / 128
    elif values.dtype in (np.int16, np.int32):
        sound = values.astype(np.float32) / -float(np.iinfo(values.dtype).min)
    else:
        raise DataError(f"{path} holds {values.dtype}, not whole numbers of 8, 16 or 32 bits")
    return rate, sound if sound.ndim == 1 else sound.mean(axis=1)
