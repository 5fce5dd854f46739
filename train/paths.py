"""The arrays of a network by their paths, such as "params/encoder/kernel", and path patterns."""

import difflib
import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

from flax.traverse_util import flatten_dict

from .config import ConfigError

SEPARATOR = "/"
PARAMS = "params" + SEPARATOR


def paths(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays of nested dictionaries, by path."""
    return flatten_dict(variables, sep=SEPARATOR)


def short(path: str) -> str:
    """Return the path without "params/" at its beginning."""
    return path.removeprefix(PARAMS)


def below(path: str, pattern: str) -> bool:
    """Return whether a path is `pattern`, is below it, or matches it as a file pattern."""
    return path == pattern or path.startswith(pattern + "/") or fnmatch.fnmatch(path, pattern)


def check_matches(setting: str, pattern: str, every: Iterable[str]) -> None:
    """Raise ConfigError, which names the nearest path, when no path is below a pattern.

    setting: name of the setting that has the pattern. every: the paths.
    """
    names = [short(path) for path in every]
    if not any(below(name, pattern) for name in names):
        parts = {"/".join(name.split("/")[:n]) for name in names for n in range(1, 9)}
        near = difflib.get_close_matches(pattern, sorted(parts), n=1, cutoff=0.0)
        raise ConfigError(
            f"config.{setting}: no parameter is below {pattern!r}"
            + (f" (did you mean {near[0]}?)" if near else "")
        )
