"""`python_tokens`: characters of Python's standard library, labelled as comments and strings.

The labels are those of the standard library's own tokenizer, so they cost nothing and are right. A
piece begins and ends anywhere: whether a quote opens or closes a string may be told by what stands
before it or by what comes after it.
"""

import io
import itertools
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..builtin.python_source import split_of, standard_library

PER_FILE = 32

Place = tuple[int, int]  # line from 1, column from 0, as the tokenizer counts


class Piece(NamedTuple):
    """Consecutive characters of a file, and the tag of each."""

    words: str
    tags: Sequence[str]


def pieces(counts: Mapping[str, int], length: int) -> dict[str, list[Piece]]:
    """Pieces of `length` characters of the files of each split, which are read in a drawn order.

    counts: how many of each split; there are fewer when it has fewer. The pieces of a file do not
    overlap and are of all its parts, PER_FILE at most. They are the same at every call.
    """
    files = list(enumerate(standard_library()))
    return {
        split: _of_files([path for i, path in files if split_of(i) == split], count, length)
        for split, count in counts.items()
    }


def _of_files(paths: Sequence[Path], count: int, length: int) -> list[Piece]:
    rng = np.random.default_rng(len(paths))
    texts = (paths[i].read_bytes().decode("utf-8", "replace") for i in rng.permutation(len(paths)))
    cut = (piece for text in texts for piece in _cut(text, length, int(rng.integers(length))))
    return list(itertools.islice(cut, count))


def _cut(source: str, length: int, first: int) -> Iterator[Piece]:
    tags = character_tags(source)
    starts = range(first, len(tags) - length + 1, length)
    for start in starts[:: -(-len(starts) // PER_FILE) or 1]:
        yield Piece(source[start : start + length], tags[start : start + length])


def character_tags(source: str) -> list[str]:
    """Tag of each character of a file of Python; [] when Python cannot read it.

    The first character of a comment is B-COMMENT and its others are I-COMMENT; of a string, with
    its prefix and its quotes, B-STRING and I-STRING; all others are O. What stands inside of an
    f-string, expressions too, is a part of it.
    """
    try:
        tokens = [
            (tokenize.tok_name[token.type], token.start, token.end)
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
        ]
    except (SyntaxError, tokenize.TokenError):
        return []
    starts = [0, *itertools.accumulate(len(line) + 1 for line in source.split("\n"))]
    tags = ["O"] * len(source)
    for kind, begin, end in outer_spans(tokens):
        first, last = (starts[row - 1] + column for row, column in (begin, end))
        tags[first:last] = [f"B-{kind}", *[f"I-{kind}"] * (last - first - 1)]
    return tags


def outer_spans(tokens: Iterable[tuple[str, Place, Place]]) -> Iterator[tuple[str, Place, Place]]:
    """(COMMENT or STRING, begin, end) of tokens (name, begin, end).

    From Python 3.12 on an f-string is FSTRING_START, tokens that may be strings again, FSTRING_END:
    it is one span from the first to the last.
    """
    depth, opened = 0, (0, 0)
    for name, begin, end in tokens:
        if name == "FSTRING_START":
            opened = opened if depth else begin
            depth += 1
        elif name == "FSTRING_END":
            depth -= 1
            if not depth:
                yield "STRING", opened, end
        elif name in ("COMMENT", "STRING") and not depth:
            yield name, begin, end
