"""Word vectors in the two file formats of the word2vec program, and in the text format of GloVe.

The former begin with a line "V D", the latter has no such line. Text: one line per word, the word
and D decimal numbers separated by spaces. Binary: the word, a space, D little-endian float32, a
newline. Words are in UTF-8.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..catalogue import DataError


def write_vectors(path: Path, words: Sequence[str], vectors: ArrayLike) -> None:
    """Write vectors float32 [V, D] of V words: binary when the name ends in .bin, else text.

    Raises DataError when the file cannot be written.
    """
    rows = np.asarray(vectors, "<f4")
    header = f"{rows.shape[0]} {rows.shape[1]}\n".encode()
    pairs = zip(words, rows, strict=True)
    if path.suffix == ".bin":
        lines = (word.encode() + b" " + row.tobytes() + b"\n" for word, row in pairs)
    else:
        lines = (f"{word} {' '.join(map(str, row))}\n".encode() for word, row in pairs)
    try:
        path.write_bytes(header + b"".join(lines))
    except OSError as error:
        raise DataError(f"cannot write vectors {path}: {error.strerror}") from None


def read_vectors(path: Path) -> tuple[list[str], np.ndarray]:
    """Read words and their vectors float32 [V, D]: binary when the name ends in .bin, else text.

    Raises DataError when the file cannot be read or is malformed.
    """
    try:
        content = path.read_bytes()
        header, _, body = content.partition(b"\n")
        sizes = header.split()
        if path.suffix != ".bin" and len(sizes) > 2:  # GloVe
            return _parse_text(content, content.rstrip(b"\n").count(b"\n") + 1, len(sizes) - 1)
        count, size = map(int, sizes)
        return (_parse_binary if path.suffix == ".bin" else _parse_text)(body, count, size)
    except OSError as error:
        raise DataError(f"cannot read vectors {path}: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"{path} is not a file of word vectors: {error}") from None


def _parse_binary(body: bytes, count: int, size: int) -> tuple[list[str], np.ndarray]:
    words, rows, offset = [], np.empty((count, size), np.float32), 0
    for row in rows:
        end = body.index(b" ", offset)
        words.append(body[offset:end].lstrip(b"\n").decode())  # some programs write no newline
        offset = end + 1 + 4 * size
        row[:] = np.frombuffer(body[end + 1 : offset], "<f4")
    return words, rows


def _parse_text(body: bytes, count: int, size: int) -> tuple[list[str], np.ndarray]:
    lines = [line.split(" ") for line in body.decode().rstrip("\n").split("\n")]
    if len(lines) != count:
        raise ValueError(f"the first line announces {count} words, the file has {len(lines)}")
    rows = np.array([line[1 : size + 1] for line in lines], np.float32)
    return [line[0] for line in lines], rows
