"""`python_tokens`: characters of Python's standard library, tagged as comments and strings.

The tags come from the standard library's own tokenizer, so they are free and correct. A piece
begins and ends anywhere: whether a quote opens or closes a string may depend on the text before it
or after it.
"""

import io
import itertools
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..builtin.python_source import file_split, standard_library

PER_FILE = 32  # largest number of pieces of a file

Position = tuple[int, int]  # line from 1, column from 0, as in the tokenizer


class Piece(NamedTuple):
    """Consecutive characters of a file, and their tags."""

    words: str
    tags: Sequence[str]


def pieces(counts: Mapping[str, int], length: int) -> dict[str, list[Piece]]:
    """Pieces of `length` characters from the files of each split, which are read in random order.

    counts: pieces of each split, fewer if its files do not have as many. The pieces of a file, at
    most PER_FILE, do not overlap and are spread over the file. They are the same at every call.
    """
    files = list(enumerate(standard_library()))
    return {
        split: _sample_pieces([path for i, path in files if file_split(i) == split], count, length)
        for split, count in counts.items()
    }


def _sample_pieces(paths: Sequence[Path], count: int, length: int) -> list[Piece]:
    rng = np.random.default_rng(len(paths))
    texts = (paths[i].read_bytes().decode("utf-8", "replace") for i in rng.permutation(len(paths)))
    candidates = (
        piece for text in texts for piece in _cut(text, length, int(rng.integers(length)))
    )
    return list(itertools.islice(candidates, count))


def _cut(source: str, length: int, first: int) -> Iterator[Piece]:
    tags = character_tags(source)
    starts = range(first, len(tags) - length + 1, length)
    for start in starts[:: -(-len(starts) // PER_FILE) or 1]:
        yield Piece(source[start : start + length], tags[start : start + length])


def character_tags(source: str) -> list[str]:
    """Tag of each character of Python code; [] when it has a syntax error.

    The first character of a comment is B-COMMENT and its other characters are I-COMMENT; those of a
    string, including its prefix and quotes, are B-STRING and I-STRING; all others are O. An
    f-string includes its expressions.
    """
    try:
        tokens = [
            (tokenize.tok_name[token.type], token.start, token.end)
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
        ]
    except (SyntaxError, tokenize.TokenError):
        return []
    line_starts = [0, *itertools.accumulate(len(line) + 1 for line in source.split("\n"))]
    tags = ["O"] * len(source)
    for kind, begin, end in outer_spans(tokens):
        first, last = (line_starts[row - 1] + column for row, column in (begin, end))
        tags[first:last] = [f"B-{kind}", *[f"I-{kind}"] * (last - first - 1)]
    return tags


def outer_spans(
    tokens: Iterable[tuple[str, Position, Position]],
) -> Iterator[tuple[str, Position, Position]]:
    """Spans (COMMENT or STRING, begin, end) of tokens (name, begin, end), outermost ones only.

    Since Python 3.12 an f-string consists of FSTRING_START, tokens that may include strings, and
    FSTRING_END: it is one span from start to end.
    """
    depth, start = 0, (0, 0)
    for name, begin, end in tokens:
        if name == "FSTRING_START":
            start = start if depth else begin
            depth += 1
        elif name == "FSTRING_END":
            depth -= 1
            if not depth:
                yield "STRING", start, end
        elif name in ("COMMENT", "STRING") and not depth:
            yield name, begin, end
