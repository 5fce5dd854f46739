"""Word vectors in the two file formats of the word2vec program, and in the text format of GloVe.

The former begin with a line "V D", the latter has no such line. Text: one line per word, the word
and D decimal numbers separated by spaces. Binary: the word, a space, D little-endian float32, a
newline. Words are in UTF-8; in text they may have spaces, since the numbers are counted from the
end of a line.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..catalogue import DataError
from ..forms.content import check_no_pipe


def file_of_vectors(path: Path, words: Sequence[str], vectors: ArrayLike) -> bytes:
    """Content of a file of vectors float32 [V, D] of V words: binary for a name in .bin, else text.

    Raises DataError when it could not be read back: for a word that is empty or has a line feed,
    and in the binary format for one with a space.
    """
    rows = np.asarray(vectors, "<f4")
    header = f"{rows.shape[0]} {rows.shape[1]}\n".encode()
    binary = path.suffix == ".bin"
    for word in words:
        if not word.strip(" ") or "\n" in word or (binary and " " in word):
            hint = "; name a file .txt" if binary and word.strip(" ") and "\n" not in word else ""
            raise DataError(f"the word {word!r} cannot be stored in {path}{hint}")
    pairs = zip(words, rows, strict=True)
    if binary:
        lines = (word.encode() + b" " + row.tobytes() + b"\n" for word, row in pairs)
    else:
        lines = (f"{word} {' '.join(map(str, row))}\n".encode() for word, row in pairs)
    return header + b"".join(lines)


def read_vectors(path: Path, errors: str = "strict") -> tuple[list[str], np.ndarray]:
    """Read words and their vectors float32 [V, D]: binary when the name ends in .bin, else text.

    errors: "strict", or "replace" for U+FFFD in place of bytes of a word that are not UTF-8. Raises
    DataError, naming the line or row, when the file cannot be read, is malformed or truncated, or
    has a number that is not finite.
    """
    check_no_pipe(path)
    try:
        content = path.read_bytes()
        header, _, body = content.partition(b"\n")
        sizes = header.split()
        if path.suffix != ".bin" and len(sizes) > 2:  # GloVe
            return _parse_text(content, None, _common_size(content), errors)
        count, size = map(int, sizes)
        if count < 0 or size < 1:
            raise ValueError(f"the first line announces {count} words of {size} numbers")
        return (_parse_binary if path.suffix == ".bin" else _parse_text)(body, count, size, errors)
    except OSError as error:
        raise DataError(f"cannot read vectors {path}: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"{path} is not a file of word vectors: {error}") from None


def _word(content: bytes, place: str, errors: str) -> str:
    try:
        return content.decode("utf-8", errors)
    except UnicodeDecodeError:
        raise ValueError(f"the word in {place} is not UTF-8: {content[:40]!r}") from None


def _check_finite(rows: np.ndarray, what: str, first: int) -> None:
    """Raise ValueError for the first row with a number that is not finite."""
    wrong = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(wrong):
        raise ValueError(f"{what} {wrong[0] + first} has a number that is not finite")


def _parse_binary(body: bytes, count: int, size: int, errors: str) -> tuple[list[str], np.ndarray]:
    if count * (4 * size + 2) > len(body) + 1:  # of the last line feed
        raise ValueError(
            f"the first line announces {count} words of {size} numbers, "
            f"too many for the {len(body)} bytes that follow"
        )
    words, rows, offset = [], np.empty((count, size), np.float32), 0
    for number, row in enumerate(rows, 1):
        end = body.find(b" ", offset)
        values = body[end + 1 : end + 1 + 4 * size]
        if end < 0 or len(values) < 4 * size:
            raise ValueError(f"row {number} of {count} is truncated")
        # some programs write no newline
        words.append(_word(body[offset:end].lstrip(b"\n"), f"row {number}", errors))
        offset = end + 1 + 4 * size
        row[:] = np.frombuffer(values, "<f4")
    if body[offset:].strip(b"\r\n"):
        raise ValueError(f"the first line announces {count} words, but more follow")
    _check_finite(rows, "row", 1)
    return words, rows


def _lines(body: bytes) -> list[bytes]:
    """Lines without the white space at their ends."""
    return [line.rstrip(b" \r") for line in body.rstrip(b"\r\n").split(b"\n")]


def _common_size(content: bytes) -> int:
    """The most frequent number of numbers in a line: few words have spaces."""
    return Counter(line.count(b" ") for line in _lines(content)).most_common(1)[0][0]


def _parse_text(
    body: bytes, count: int | None, size: int, errors: str
) -> tuple[list[str], np.ndarray]:
    """Words and vectors of a text; count: the number of words in its first line, if it has one."""
    lines = _lines(body)
    if count is not None and len(lines) != count:
        raise ValueError(f"the first line announces {count} words, the file has {len(lines)}")
    words, rows = [], np.empty((len(lines), size), np.float32)
    first = 1 if count is None else 2
    for number, (row, line) in enumerate(zip(rows, lines, strict=True), first):
        word, *values = line.rsplit(b" ", size)
        if len(values) != size or not size:
            raise ValueError(f"line {number} has {len(values)} numbers, not {max(size, 1)}")
        try:
            row[:] = list(map(float, values))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        words.append(_word(word, f"line {number}", errors))
    if all(map(_ends_in_number, words)):
        raise ValueError(f"all lines have more numbers than {size}")
    _check_finite(rows, "line", first)
    return words, rows


def _ends_in_number(word: str) -> bool:
    """Whether a word has a space and a number after it."""
    try:
        return " " in word and np.isfinite(float(word.rpartition(" ")[2]))
    except ValueError:
        return False
