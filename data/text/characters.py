"""The characters of a corpus as ids; a long text is read in pieces and its ids kept in a file."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..catalogue import DataError
from .corpus import (
    PIECE,
    Corpus,
    Vocabulary,
    codes_of,
    files_of,
    load_text,
    path_of,
    pieces_of,
    split_bounds,
)

# bytes of a text, and characters of a corpus, from which on they are not held in memory. A text
# below it needs at most 16 bytes a character for itself, its splits and its ids, 256 MB, and is
# encoded in a fifth of a second, so a file would save nothing
LARGE = 2**24
CODE_POINTS = 0x110000

# a text from its first character on; the argument is what it is read for
Pieces = Callable[[str], Iterable[str]]
Counts = dict[str, np.ndarray]


@dataclass(frozen=True)
class CharacterCorpus:
    """Ids [N] of the characters of the three splits, one split after the other.

    ids: int32, or for a large corpus the smallest unsigned type that has all ids, read from a file
    by memory map. bounds: where validation and test begin. sha256: that of `Corpus`.
    """

    vocabulary: Vocabulary
    ids: np.ndarray
    bounds: tuple[int, int]
    sha256: str

    @property
    def train(self) -> np.ndarray:
        """Ids of the training split."""
        return self.ids[: self.bounds[0]]

    def held_out(self, limit: int = 0) -> dict[str, np.ndarray]:
        """Ids of "validation", of "test", and of "heldout", which is one after the other.

        limit: number of characters to use from each split; 0: all.
        """
        validation, test = self.ids[self.bounds[0] : self.bounds[1]], self.ids[self.bounds[1] :]
        both = self.ids[self.bounds[0] :]
        if 0 < limit < max(len(validation), len(test)):
            both = np.concatenate([validation[:limit], test[:limit]])
            validation, test = validation[:limit], test[:limit]
        return {"validation": validation, "test": test, "heldout": both}


def load_characters(name: str, data_dir: str, size: int) -> CharacterCorpus:
    """Corpus of `load_text` as ids of a vocabulary of its training split, of at most `size` ids.

    A text:PATH of at least LARGE bytes is read in pieces, each time from its files, with a progress
    bar; all others are held in memory while they are encoded. Raises DataError as `load_text` does,
    and when a large text changes while it is read.
    """
    form, _, rest = name.partition(":")
    files = files_of(path_of(rest)) if form == "text" else []
    size_in_bytes = sum(file.stat().st_size for file in files if file.is_file())
    if size_in_bytes >= LARGE:
        pieces: Pieces = partial(shown, files, size_in_bytes)
        sha256, length = measure(pieces("checksum"))
        bounds = split_bounds(length)
        if all(map(str.isspace, pieces_of(files))):
            raise DataError(f"there is no text in {path_of(rest)}")
    else:
        corpus = load_text(name, data_dir)
        pieces, sha256 = (lambda _: pieces_of_corpus(corpus)), corpus.sha256
        train, validation, test = map(len, (corpus.train, corpus.validation, corpus.test))
        bounds, length = (train, train + validation), train + validation + test

    def count() -> Counts:
        return counts_of(first(pieces("characters"), bounds[0]))

    if length < LARGE:
        vocabulary = vocabulary_of(count(), size)
        ids = np.concatenate(list(encoded(vocabulary, pieces("ids"), length)))
        return CharacterCorpus(vocabulary, ids, bounds, sha256)

    from ..forms.cache import cached, mapped

    vocabulary = vocabulary_of(cached(f"characters {sha256} {bounds[0]}", count), size)
    dtype = np.min_scalar_type(len(vocabulary) - 1)
    ids = mapped(
        f"ids {sha256} {vocabulary.characters}",
        length,
        dtype,
        lambda: encoded(vocabulary, pieces("ids"), length),
    )
    return CharacterCorpus(vocabulary, ids, bounds, sha256)


def shown(files: Sequence[Path], size: int, what: str) -> Iterable[str]:
    """Pieces of the text of files of `size` bytes, with a progress bar if this is a terminal."""
    total = -(-size // PIECE)
    return tqdm(pieces_of(files), what, total, leave=False, unit="piece", disable=None)


def pieces_of_corpus(corpus: Corpus) -> Iterator[str]:
    """Yield the three splits in pieces, one after the other."""
    for text in (corpus.train, corpus.validation, corpus.test):
        for start in range(0, len(text), PIECE):
            yield text[start : start + PIECE]


def measure(pieces: Iterable[str]) -> tuple[str, int]:
    """Hex digest of a text in UTF-8, and its number of characters."""
    digest, length = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece.encode())
        length += len(piece)
    return digest.hexdigest(), length


def first(pieces: Iterable[str], length: int) -> Iterator[str]:
    """Yield the first `length` characters of a text."""
    for piece in pieces:
        yield piece[:length]
        length -= len(piece)
        if length <= 0:
            return


def counts_of(pieces: Iterable[str]) -> Counts:
    """Code points uint32 [C] of the distinct characters, "codes", and int64 [C], "counts"."""
    counts = np.zeros(CODE_POINTS, np.int64)
    for piece in pieces:
        found = np.bincount(codes_of(piece))
        counts[: len(found)] += found
    codes = np.flatnonzero(counts)
    return {"codes": codes.astype(np.uint32), "counts": counts[codes]}


def vocabulary_of(counts: Counts, size: int) -> Vocabulary:
    """Vocabulary of the most frequent characters of `counts_of`, at most `size` ids in all."""
    pairs = zip(map(chr, counts["codes"]), counts["counts"].tolist(), strict=True)
    return Vocabulary.from_counts(dict(pairs), size)


def encoded(vocabulary: Vocabulary, pieces: Iterable[str], length: int) -> Iterator[np.ndarray]:
    """Yield the ids int32 of each piece; DataError unless there are `length` characters in all."""
    count = 0
    for piece in pieces:
        count += len(piece)
        yield vocabulary.encode(piece)
    if count != length:
        raise DataError(f"the text changed from {length} to {count} characters while it was read")
