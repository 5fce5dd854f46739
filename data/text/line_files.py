"""Text files read line by line, plain or gzipped."""

from collections.abc import Sequence
from pathlib import Path

from ..forms.files import read_text


def read_lines(path: Path, encodings: Sequence[str] = ("utf-8",)) -> list[str]:
    """Lines of a file, plain or gzipped, without their ends, in the first encoding that fits.

    Only a line feed ends a line, as in every tool that counts lines; a carriage return before it
    and a byte order mark are dropped. Raises DataError when the file is missing or unreadable.
    """
    lines = read_text(path, encodings).split("\n")
    return [line.removesuffix("\r") for line in lines[: len(lines) - (lines[-1] == "")]]
