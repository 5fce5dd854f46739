"""Flags that ask for help; in a file of its own, which imports nothing."""

from collections.abc import Sequence

FLAGS = ("-h", "--help", "--helpfull", "--helpshort")


def asks_for_help(argv: Sequence[str]) -> bool:
    """Whether a word of a command line asks for help."""
    return any(word in FLAGS for word in argv)
