"""Lines that a user passes to a mode on standard input."""

import sys
from collections.abc import Iterator

from data.catalogue import DataError


def lines_of_input() -> Iterator[str]:
    """Yield lines as they arrive, without line ends and without a byte order mark.

    Raises DataError if one is not UTF-8.
    """
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            text = line.decode().rstrip("\r\n")
            yield text.removeprefix("\ufeff") if number == 1 else text
        except UnicodeDecodeError as error:
            raise DataError(f"line {number} of the input is not UTF-8") from error


def texts_of_input() -> Iterator[list[str]]:
    """Yield lists of lines to process together: single lines from a terminal, otherwise all."""
    if sys.stdin.isatty():
        yield from ([line] for line in lines_of_input())
    else:
        yield list(lines_of_input())
