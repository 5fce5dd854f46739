"""Text files read line by line, plain or gzipped, and the fields of a line."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

from ..forms.files import read_text


def read_lines(path: Path | zipfile.Path, encodings: Sequence[str] = ("utf-8",)) -> list[str]:
    """Lines of a file, plain or gzipped, without their ends, in the first encoding that fits.

    Only a line feed ends a line, as in every tool that counts lines; a carriage return before it
    and a byte order mark are dropped. Raises DataError when the file is missing or unreadable.
    """
    lines = read_text(path, encodings).split("\n")
    return [line.removesuffix("\r") for line in lines[: len(lines) - (lines[-1] == "")]]


def fields_of(line: str, separator: str = "\t") -> list[str]:
    """Fields of a line: between tabs if it has one, otherwise between spaces.

    Each tab separates two fields; several spaces in a row separate two fields as one does. All
    other white space, such as no-break spaces and U+2028, belongs to a word. separator: a character
    that separates fields instead of a tab.

    >>> fields_of("New York\\tB-LOC"), fields_of("New  York ")
    (['New York', 'B-LOC'], ['New', 'York'])
    """
    if separator in line:
        return line.rstrip(" " + separator).split(separator)
    return [field for field in line.split(" ") if field]
