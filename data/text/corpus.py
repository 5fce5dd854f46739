"""Text corpora and their character vocabularies."""

import codecs
import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from ..catalogue import TABLES, DataError, is_table

PADDING, UNKNOWN = 0, 1
SPLITS = ("train", "validation", "test")
FORMS = ("text:PATH", *TABLES)
PIECE = 2**22  # bytes that are read at a time


@dataclass(frozen=True)
class Corpus:
    """Text of each split."""

    train: str
    validation: str
    test: str

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the three splits, concatenated, in UTF-8."""
        digest = hashlib.sha256()
        for text in (self.train, self.validation, self.test):
            digest.update(text.encode())
        return digest.hexdigest()


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
        text = read_path(path_of(rest), end)
        first, second = split_bounds(len(text))
        splits = [text[:first], text[first:second], text[second:]]
    else:
        from .sources import prepared_texts, table_texts

        table = is_table(name)
        splits = table_texts(name, end) if table else prepared_texts(name, data_dir, forms, end)
    return Corpus(*splits)


def path_of(rest: str) -> Path:
    """Path of the dataset `text:` with this rest; DataError when there is none."""
    if not rest:
        raise DataError("text: needs the path of a file or a folder")
    return Path(os.path.expanduser(rest))


def split_bounds(length: int) -> tuple[int, int]:
    """Where a text of `length` characters is divided into 90, 5 and 5 percent."""
    return length * 18 // 20, length * 19 // 20


def read_path(path: Path, end: str = "\n") -> str:
    """Text of a file, or of all files below a folder, see `pieces_of`.

    Raises DataError when a file is not UTF-8 or cannot be read, or when there is only white space.
    """
    text = "".join(pieces_of(files_of(path), end))
    if not text or text.isspace():
        raise DataError(f"there is no text in {path}")
    return text


def files_of(path: Path) -> list[Path]:
    """A file itself, or the files below a folder, see `files_below`."""
    from ..forms.folders import files_below

    return files_below(path) if path.is_dir() else [path]


def pieces_of(files: Iterable[Path], end: str = "\n") -> Iterator[str]:
    """Yield the text of files in pieces, joined as by `join_texts`.

    Line ends are not changed; the byte order mark of each file is dropped. Raises DataError when a
    file is not UTF-8 or cannot be read.
    """
    from ..forms.files import join_pieces

    return join_pieces(map(_pieces, files), end)


def _pieces(file: Path) -> Iterator[str]:
    from ..forms.content import check_no_pipe

    check_no_pipe(file)
    decoder = codecs.getincrementaldecoder("utf-8")()
    count, begun = 0, False
    try:
        with open(file, "rb") as content:
            for block in itertools.chain(iter(partial(content.read, PIECE), b""), [b""]):
                count += len(block)
                if text := decoder.decode(block, final=not block):
                    yield text if begun else text.removeprefix("\ufeff")
                    begun = True
    except UnicodeDecodeError as error:
        position = count - len(error.object) + error.start
        raise DataError(f"{file} is not UTF-8 text: byte {position} is invalid") from None
    except OSError as error:
        raise DataError(f"cannot read text {file}: {error.strerror}") from None


def codes_of(text: str) -> np.ndarray:
    """Code points uint32 [N] of the N characters of a text."""
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


@dataclass(frozen=True)
class Vocabulary:
    """Characters with ids 2, 3, ... in sorted order; 0 is padding, 1 any other character."""

    characters: str

    @classmethod
    def from_text(cls, text: str, size: int) -> "Vocabulary":
        """Vocabulary of the most frequent characters of a text, at most `size` ids in all."""
        return cls.from_counts(Counter(text), size)

    @classmethod
    def from_counts(cls, counts: Mapping[str, int], size: int) -> "Vocabulary":
        """Vocabulary of the most frequent characters, at most `size` ids in all."""
        ranked = sorted(counts, key=lambda character: (-counts[character], character))
        return cls("".join(sorted(ranked[: size - 2])))

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
    def _table(self) -> np.ndarray:
        """Id of each code point up to that of the last character, and of all those after it."""
        codes = codes_of(self.characters)
        table = np.full(ord(self.characters[-1:] or "\0") + 2, UNKNOWN, np.int32)
        table[codes] = np.arange(2, len(codes) + 2)
        return table

    def encode(self, text: str) -> np.ndarray:
        """Ids int32 [N] of the N characters of a text."""
        return self._table[np.minimum(codes_of(text), len(self._table) - 1)]

    def unknown(self, text: str) -> str:
        """Characters of a text that are not in the vocabulary."""
        return "".join(sorted(set(text) - set(self.characters)))

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids, with U+FFFD for padding and unknown characters."""
        return "".join(self.characters[i - 2] if i > UNKNOWN else "\ufffd" for i in ids)
