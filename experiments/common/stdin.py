"""What a user gives to a mode on the standard input."""

import sys
from collections.abc import Iterator

from data.catalogue import DataError


def lines_of_input() -> Iterator[str]:
    """Yield lines as they come, without their ends; raises DataError at one that is not UTF-8."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            yield line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(f"line {number} of the input is not UTF-8") from error


def texts_of_input() -> Iterator[list[str]]:
    """Yield lists of lines that are answered together: each by itself from a terminal, else all."""
    if sys.stdin.isatty():
        yield from ([line] for line in lines_of_input())
    else:
        yield list(lines_of_input())
