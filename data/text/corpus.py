"""Text corpora and their character vocabularies."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..catalogue import TABLES, DataError, is_table

PADDING, UNKNOWN = 0, 1
SPLITS = ("train", "validation", "test")
FORMS = ("text:PATH", *TABLES)


@dataclass(frozen=True)
class Corpus:
    """Text of each split."""

    train: str
    validation: str
    test: str

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the three splits, concatenated, in UTF-8."""
        return hashlib.sha256((self.train + self.validation + self.test).encode()).hexdigest()


def load_text(
    name: str, data_dir: str = "", forms: Sequence[str] = FORMS, end: str = "\n"
) -> Corpus:
    """Corpus by name: a dataset with a text feature, `text:PATH`, or the column text of a table.

    A file, or the files of a folder in the order of their names, is split 90/5/5 by characters. For
    a table (`TABLES`) see `table_texts`. `end` is added to a file, row or element that does not end
    with it and is followed by another one. forms: all that the caller accepts, for messages. Raises
    DataError when there is no such dataset or file, when a file is not UTF-8, or when it has no
    text.
    """
    form, _, rest = name.partition(":")
    if form == "text":
        if not rest:
            raise DataError("text: needs the path of a file or a folder")
        text = read_path(Path(os.path.expanduser(rest)), end)
        bounds = len(text) * 18 // 20, len(text) * 19 // 20
        splits = [text[: bounds[0]], text[bounds[0] : bounds[1]], text[bounds[1] :]]
    else:
        from .sources import prepared_texts, table_texts

        table = is_table(name)
        splits = table_texts(name, end) if table else prepared_texts(name, data_dir, forms, end)
    return Corpus(*splits)


def read_path(path: Path, end: str = "\n") -> str:
    """Text of a file, or of all files below a folder, see `files_below`, joined by `join_texts`.

    Line ends are not changed; the byte order mark of each file is dropped.
    """
    from ..forms.content import check_no_pipe
    from ..forms.files import join_texts
    from ..forms.folders import files_below

    files = files_below(path) if path.is_dir() else [path]
    texts = []
    for file in files:
        check_no_pipe(file)
        try:
            texts.append(file.read_bytes().decode("utf-8").removeprefix("\ufeff"))
        except UnicodeDecodeError as error:
            raise DataError(f"{file} is not UTF-8 text: byte {error.start} is invalid") from None
        except OSError as error:
            raise DataError(f"cannot read text {file}: {error.strerror}") from None
    if not any(map(str.strip, texts)):
        raise DataError(f"there is no text in {path}")
    return join_texts(texts, end)


@dataclass(frozen=True)
class Vocabulary:
    """Characters with ids 2, 3, ... in sorted order; 0 is padding, 1 any other character."""

    characters: str

    @classmethod
    def from_text(cls, text: str, size: int) -> "Vocabulary":
        """Vocabulary of the most frequent characters of a text, at most `size` ids in all."""
        counts = Counter(text).most_common()
        ranked = sorted(counts, key=lambda pair: (-pair[1], pair[0]))
        return cls("".join(sorted(character for character, _ in ranked[: size - 2])))

    @classmethod
    def from_bytes(cls, content: bytes) -> "Vocabulary":
        """Vocabulary of `to_bytes`."""
        return cls(content.decode())

    def to_bytes(self) -> bytes:
        """Return the characters in UTF-8."""
        return self.characters.encode()

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
        ranks = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        known = self._codes[ranks] == codes
        return np.where(known, ranks + 2, UNKNOWN).astype(np.int32)

    def unknown(self, text: str) -> str:
        """Characters of a text that are not in the vocabulary."""
        return "".join(sorted(set(text) - set(self.characters)))

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids, with U+FFFD for padding and unknown characters."""
        return "".join(self.characters[i - 2] if i > UNKNOWN else "\ufffd" for i in ids)
