"""Flags that ask for help; this file imports nothing, so the list of experiments starts at once."""

FLAGS = frozenset({"-h", "--help", "--helpfull", "--helpshort"})
