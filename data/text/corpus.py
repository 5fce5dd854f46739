"""Text corpora and their characters."""

import gzip
import hashlib
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..catalogue import DataError, load_splits, nearest

GZIP_MAGIC = b"\x1f\x8b"  # begins no UTF-8 text

PADDING, UNKNOWN = 0, 1
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Corpus:
    """Text of each split, and the SHA-256 of the three joined."""

    train: str
    validation: str
    test: str

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the three splits in UTF-8, one after the other."""
        return hashlib.sha256((self.train + self.validation + self.test).encode()).hexdigest()


def load_text(name: str, data_dir: str = "") -> Corpus:
    """Corpus of a name: a dataset with a text feature, or `text:PATH` for a file or a folder.

    A file, or the files of a folder in the order of their names, is split 90/5/5 by characters.
    Raises DataError when there is no such dataset or file, when a file is not UTF-8, or when there
    is no text in it.
    """
    if name.startswith("text:"):
        if name == "text:":
            raise DataError("text: needs the path of a file or a folder after it")
        text = read_path(Path(name.removeprefix("text:")).expanduser())
        bounds = len(text) * 18 // 20, len(text) * 19 // 20
        parts = [text[: bounds[0]], text[bounds[0] : bounds[1]], text[bounds[1] :]]
    else:
        sources = load_splits(name, data_dir)
        if not set(SPLITS) <= set(sources):
            raise DataError(f"dataset {name} has splits {sorted(sources)}, text needs {SPLITS}")
        parts = [_join(name, sources[split]) for split in SPLITS]
    return Corpus(*parts)


def read_path(path: Path) -> str:
    """Text of a file, or of every file below a folder, hidden ones left out."""
    if path.is_dir():
        inside = (p for p in sorted(path.rglob("*")) if p.is_file())
        files = [p for p in inside if not any(part[0] == "." for part in p.relative_to(path).parts)]
    else:
        files = [path]
    texts = []
    for file in files:
        try:
            texts.append(file.read_bytes().decode("utf-8"))
        except UnicodeDecodeError as error:
            raise DataError(f"{file} is not UTF-8 text: byte {error.start} is wrong") from None
        except OSError as error:
            raise DataError(f"cannot read text {file}: {error.strerror}") from None
    if not "".join(texts).strip():
        raise DataError(f"there is no text in {path}")
    return "".join(texts)


def _join(name: str, source) -> str:
    elements = source.__getitems__(list(range(len(source))))
    if not elements or "text" not in elements[0]:
        raise DataError(f"dataset {name} holds no text")
    try:
        return b"".join(element["text"] for element in elements).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"the text of dataset {name} is not UTF-8: {error.reason}") from None


@dataclass(frozen=True)
class Vocabulary:
    """Characters with the ids 2, 3, ... in sorted order; 0 is padding, 1 any other character."""

    characters: str

    @classmethod
    def of(cls, text: str, size: int) -> "Vocabulary":
        """Vocabulary of the most frequent characters of a text, `size` ids in all at most."""
        common = Counter(text).most_common()
        ranked = sorted(common, key=lambda pair: (-pair[1], pair[0]))
        return cls("".join(sorted(character for character, _ in ranked[: size - 2])))

    def __len__(self) -> int:
        return len(self.characters) + 2

    @cached_property
    def _codes(self) -> np.ndarray:
        return np.frombuffer(self.characters.encode("utf-32-le"), np.uint32)

    def encode(self, text: str) -> np.ndarray:
        """Ids int32 [N] of the N characters of a text."""
        codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        if not self.characters:
            return np.full(len(codes), UNKNOWN, np.int32)
        places = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        known = self._codes[places] == codes
        return np.where(known, places + 2, UNKNOWN).astype(np.int32)

    def unknown(self, text: str) -> str:
        """Characters of a text that are not in the vocabulary."""
        return "".join(sorted(set(text) - set(self.characters)))

    def decode(self, ids) -> str:
        """Text of ids; padding and the unknown character give the replacement character."""
        return "".join(self.characters[i - 2] if i > UNKNOWN else "\ufffd" for i in ids)


def read_lines(path: Path, encodings: Sequence[str] = ("utf-8",)) -> list[str]:
    """Lines of a file, plain or gzipped, in the first encoding that fits, without their ends.

    Only a line feed ends a line, as in every tool that counts lines; a carriage return before it
    and a byte order mark are dropped.
    """
    try:
        content = path.read_bytes()
        if content.startswith(GZIP_MAGIC):
            content = gzip.decompress(content)
    except FileNotFoundError:
        raise DataError(f"there is no file {path}{near_file(path)}") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot read {path}: {reason}") from None
    for encoding in encodings:
        try:
            text = content.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            number = content.count(b"\n", 0, error.start) + 1
            continue
        lines = text.split("\n")
        return [line.removesuffix("\r") for line in lines[: len(lines) - (lines[-1] == "")]]
    names = " or ".join(map(str.upper, encodings))
    raise DataError(f"{path} is not {names} text: line {number} is wrong")


def near_file(path: Path) -> str:
    """Text that names the file nearest to a missing one, or nothing when none is near."""
    names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    return nearest(path.name, sorted(names))
