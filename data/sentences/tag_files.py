"""Readers of files of tagged sentences: columns (CoNLL), CoNLL-U, and lines with marked spans."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from ..catalogue import DataError
from ..text.line_files import fields_of, read_lines


class Sentence(NamedTuple):
    """Words and their tags; in a text tagged by characters each character is a word."""

    words: Sequence[str]
    tags: Sequence[str]


Numbered = tuple[Sentence, list[int]]  # and the number of the line of each word, from 1
Row = tuple[int, list[str]]  # number of a line, and its fields


def read_columns(path: Path, column: int) -> Iterator[Numbered]:
    """Sentences of a CoNLL file: one word per line, in its first column.

    Columns are separated by tabs, in a line without tabs by spaces. column: column of the tag, from
    1; 0: the last. All words must have as many columns as the first one. Lines that begin with
    -DOCSTART- are skipped, and so are comments. These are lines at the start of a sentence that
    begin with # and have another number of columns than the words, or whose first column is # and
    whose last column no word has. So a word may be #.
    """
    blocks = [
        [(number, fields_of(line)) for number, line in block]
        for block in _sentence_lines(path, lambda line: line.startswith("-DOCSTART-"))
    ]
    words = [row for block in blocks for row in block if not row[1][0].startswith("#")]
    first = next(iter(words or [row for block in blocks for row in block]), None)
    count = max(2, column, len(first[1]) if first else 0)
    last = {fields[-1] for _, fields in words} | {"#"}
    for block in blocks:
        rows = block[_comments(block, count, last) :]
        for number, fields in rows:
            if len(fields) != count:
                raise DataError(f"line {number} of {path} has {len(fields)} columns, not {count}")
            if not all(fields):
                raise DataError(f"line {number} of {path} has an empty column")
        if rows:
            tags = [fields[column - 1] for _, fields in rows]
            yield Sentence([fields[0] for _, fields in rows], tags), [number for number, _ in rows]


def _comments(block: Sequence[Row], count: int, last: set[str]) -> int:
    """Number of comments at the start of a sentence."""
    for index, (_, fields) in enumerate(block):
        unusual = len(fields) != count or (fields[0] == "#" and fields[-1] not in last)
        if not (fields[0].startswith("#") and unusual):
            return index
    return len(block)


def read_conllu(path: Path, _column: int) -> Iterator[Numbered]:
    """Sentences of a CoNLL-U file with their UPOS tags.

    Multiword tokens (1-2) are skipped because their words have separate lines, and empty nodes
    (1.1) because they are not in the text.
    """
    for block in _sentence_lines(path, lambda line: line.startswith("#")):
        rows = [(number, line.split("\t")) for number, line in block]
        for number, row in rows:
            if len(row) != 10:
                raise DataError(f"line {number} of {path} has {len(row)} columns, not 10")
        rows = [(number, row) for number, row in rows if row[0].isdigit()]
        if not rows:
            raise DataError(f"the sentence at line {block[0][0]} of {path} has no words")
        words, tags = ([row[place] for _, row in rows] for place in (1, 3))
        yield Sentence(words, tags), [number for number, _ in rows]


def read_spans(path: Path, _column: int) -> Iterator[Numbered]:
    """Sentences of lines "text####word=TAG word=TAG ..." with TAG O or T-POLARITY, as B, I, O.

    Consecutive words with the same polarity form a span.
    """
    for number, line in enumerate(read_lines(path), 1):
        pairs = [item.rpartition("=") for item in fields_of(line.rpartition("####")[2])]
        if not pairs:
            raise DataError(f"line {number} of {path} has no words")
        for _, equals, tag in pairs:
            if not equals or not (tag == "O" or tag.startswith("T-")):
                raise DataError(f"line {number} of {path} has the tag {tag!r}, not O or T-POLARITY")
        runs = groupby(tag for _, _, tag in pairs)
        tags: list[str] = []
        for tag, run in runs:
            length = len(list(run))
            tags += ["O"] * length if tag == "O" else ["B", *["I"] * (length - 1)]
        yield Sentence([word for word, _, _ in pairs], tags), [number] * len(tags)


def _sentence_lines(path: Path, skipped: Callable[[str], bool]) -> Iterator[list[tuple[int, str]]]:
    """Lines of each sentence of a file, with their numbers; empty lines separate sentences."""
    lines = [pair for pair in enumerate(read_lines(path), 1) if not skipped(pair[1])]
    for has_text, block in groupby(lines, key=lambda pair: bool(pair[1].strip())):
        if has_text:
            yield list(block)


READERS = {"conll": read_columns, "conllu": read_conllu, "spans": read_spans}
