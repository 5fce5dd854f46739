"""Labelled recordings in files, and their test sets."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..catalogue import DataError, nearest
from .files import at_one_rate, sound_files

NAME = re.compile(r"(?P<label>[^_]+)_(?P<speaker>.+)_(?P<index>\d+)")
TEST_INDICES = 5  # recordings 0 to 4 of each digit and speaker
TEST_PERCENT = 10


@dataclass(frozen=True)
class Waves:
    """Recordings: samples, a list of float32 [N_i] in -1 .. 1, all at `rate` Hz.

    labels: int32 [R], indices into `classes`. speakers: [R], "" where the file name has none. test:
    bool [R], true in the published test set.
    """

    samples: list[np.ndarray]
    rate: int
    labels: np.ndarray
    classes: tuple[str, ...]
    speakers: np.ndarray
    test: np.ndarray

    def held_out(self, which: str) -> np.ndarray:
        """Bool [R], true for held-out recordings: the published test set, or those of one speaker.

        which: "standard" or "speaker:NAME". Raises DataError for any other value, an unknown
        speaker, or an empty training or test set.
        """
        names = sorted({f"speaker:{name}" for name in self.speakers if name})
        if which == "standard":
            chosen = self.test
        elif which.startswith("speaker:"):
            chosen = self.speakers == which.removeprefix("speaker:")
        else:
            near = nearest(which, ["standard", *names])
            raise DataError(f"held_out must be standard or speaker:NAME, got {which!r}{near}")
        if not chosen.any() or chosen.all():
            raise DataError(
                f"held_out {which!r} leaves {int((~chosen).sum())} recordings for training and "
                f"{int(chosen.sum())} for the test{nearest(which, names)}; "
                f"available: {', '.join(['standard', *names])}"
            )
        return chosen


def load_waves(folder: str) -> Waves:
    """Read the WAV, FLAC and OGG files of a folder.

    There is one sub-folder per label, or the name of a file is LABEL_SPEAKER_INDEX.wav.

    Without sub-folders, as in the Free Spoken Digit Dataset (7_george_12.wav), the test set is
    indices 0 to 4 of each digit and speaker. With sub-folders, as in Speech Commands (Warden 2018),
    the speaker is the part of a name before the first "_", and the test set is about a tenth of the
    speakers, chosen by the SHA-1 of their names, so the choice does not change when others are
    added; of the files without a speaker, it is about a tenth of the files.

    Recordings are resampled to the most frequent rate; a line of output says so. Raises DataError,
    naming the file, for any other form of its name, and when `read_sound_file` rejects it.
    """
    root = Path(os.path.expanduser(folder))
    paths = sound_files(root) if folder else []
    if not paths:
        raise DataError(f"waves:FOLDER needs a folder with sound files; {folder!r} has none")
    parsed = [parse_path(path.relative_to(root), root) for path in paths]
    labels, speakers, test = (list(column) for column in zip(*parsed, strict=True))
    classes = tuple(sorted(set(labels)))
    rate, samples = at_one_rate(paths)
    indices = np.array([classes.index(label) for label in labels], np.int32)
    return Waves(samples, rate, indices, classes, np.array(speakers), np.array(test))


def parse_path(path: Path, root: Path) -> tuple[str, str, bool]:
    """Label, speaker and membership in the test set, from the path of a file below `root`."""
    if len(path.parts) > 1:
        speaker = path.stem.partition("_")[0] if "_" in path.stem else ""
        digest = hashlib.sha1((speaker or path.as_posix()).encode()).digest()
        return path.parts[0], speaker, int.from_bytes(digest, "big") % 100 < TEST_PERCENT
    match = NAME.fullmatch(path.stem)
    if not match:
        raise DataError(
            f"{root / path} is neither in a sub-folder named by its label nor named "
            "LABEL_SPEAKER_INDEX.wav, such as 7_george_12.wav"
        )
    return match["label"], match["speaker"], int(match["index"]) < TEST_INDICES
