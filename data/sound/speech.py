"""Recordings with transcripts: a folder of sound files and a text for each."""

import hashlib
import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..catalogue import DataError
from ..forms.files import read_text
from ..forms.folders import files_below
from .files import SUFFIXES, at_one_rate, sound_files
from .waves import TEST_PERCENT

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
    """Read all WAV, FLAC and OGG files below a folder, and their transcripts.

    A transcript is a .txt file beside its recording, or a line of transcripts.tsv or
    transcripts.txt in the folder: name, tab or space, text. A name is the path below the folder,
    with or without .wav; its case may differ if it is still unambiguous. Texts are converted to
    lower case with single spaces. A sub-folder "test" is the test set; without one, it is about a
    tenth of the recordings, chosen by the SHA-1 of their names, so the choice does not change when
    others are added.

    Recordings are resampled to the most frequent rate; a line of output says so. Raises DataError,
    naming the file, for a file that `read_sound_file` rejects, a recording without a text or a text
    without a recording, and when the training or test set would be empty.
    """
    root = Path(os.path.expanduser(folder))
    paths = sound_files(root) if folder else []
    if not paths:
        raise DataError(f"speech:FOLDER needs a folder with sound files; {folder!r} has none")
    names = [path.relative_to(root).with_suffix("").as_posix() for path in paths]
    texts = transcripts(root, paths)
    rate, sounds = at_one_rate(paths)
    test = np.array([name.split("/")[0] == TEST for name in names])
    if not test.any():
        digests = [hashlib.sha1(name.encode()).digest() for name in names]
        test = np.array([int.from_bytes(d, "big") % 100 < TEST_PERCENT for d in digests])
    if test.all() or not test.any():
        raise DataError(
            f"{int(test.sum())} of the {len(test)} recordings in {folder} are in the test set; put "
            f"some, but not all, into a sub-folder {TEST!r}"
        )
    return Speech(sounds, rate, texts, test)


def transcripts(root: Path, paths: list[Path]) -> list[str]:
    """Texts of recordings below a folder; DataError when one is missing or has no recording."""
    names = Names([path.relative_to(root) for path in paths])
    texts: dict[int, str] = {}
    lists = [root / name for name in LISTS if (root / name).is_file()]
    for path in lists:
        for number, line in enumerate(read_text(path).split("\n"), 1):
            if line.strip():
                name, _, text = line.strip().partition("\t" if "\t" in line else " ")
                where = f"{path}, line {number}"
                if (index := names.find(name, where)) is None:
                    raise DataError(f"{where}: there is no recording {name}")
                texts[index] = text
    if not lists:
        for path in files_below(root, (".txt",)):
            if (index := names.find(path.relative_to(root).as_posix(), str(path))) is not None:
                texts[index] = read_text(path)
    for index, path in enumerate(paths):
        if not texts.get(index, "").strip():
            raise DataError(f"there is no transcript of {path}")
    return [" ".join(texts[index].lower().split()) for index in range(len(paths))]


class Names:
    """Recordings by the path below their folder, without its suffix."""

    def __init__(self, paths: list[Path]) -> None:
        self.exact: dict[str, int] = {}
        self.similar: dict[str, list[int]] = {}
        for index, path in enumerate(paths):
            name = unicodedata.normalize("NFC", path.with_suffix("").as_posix())
            self.exact[name] = index
            self.similar.setdefault(name.casefold(), []).append(index)

    def find(self, name: str, where: str) -> int | None:
        """Index of a recording, None when there is none.

        Case and form of Unicode may differ, as they do between systems. Raises DataError, naming
        `where` the name is, when several recordings then fit.
        """
        stem = unicodedata.normalize("NFC", name)
        if stem.lower().endswith((*SUFFIXES, ".txt")):
            stem = stem[: stem.rindex(".")]
        found = self.similar.get(stem.casefold(), [])
        if stem not in self.exact and len(found) > 1:
            raise DataError(f"{where}: several recordings differ from {name} in their case alone")
        return self.exact.get(stem, found[0] if found else None)
