"""The grammar of a search's space: words of the command line to ranges and lists of choices."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.sweep import Overrides, UsageError, parse_axis

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
RANGE = re.compile(rf"(\w+)=({NUMBER})\.\.({NUMBER})(:log)?")


@dataclass(frozen=True)
class Range:
    """A setting that is any number from `low` to `high`: a whole one when both are int."""

    name: str
    low: float
    high: float
    log: bool

    @property
    def ends(self) -> tuple[float, ...]:
        """Values that must be valid settings for all between them to be."""
        return self.low, self.high


@dataclass(frozen=True)
class Choice:
    """A setting that is one of some texts."""

    name: str
    ends: tuple[str, ...]


Dimension = Range | Choice


def parse_space(texts: Sequence[str]) -> list[Dimension]:
    """'rate=1e-4..1e-1:log' and 'hidden=32..512' -> ranges; 'cell=rnn,gru' -> a choice.

    Raises UsageError on bad grammar, on an empty range, and when two are of the same setting.
    """
    space = [_parse(text) for text in texts]
    names = [dimension.name for dimension in space]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two --space are of the same setting, {name}: give it once")
    return space


def _parse(text: str) -> Dimension:
    found = RANGE.fullmatch(text)
    if not found:
        name, values = parse_axis(text, "--space")
        return Choice(name, tuple(dict.fromkeys(values)))
    low, high = (float(bound) for bound in found.group(2, 3))
    if not (low < high and math.isfinite(high - low)):
        raise UsageError(f"--space={text}: the first end of a range must be below the second")
    if found[4] and low <= 0:
        raise UsageError(f"--space={text}: a range of logarithms must begin above 0")
    if all(re.fullmatch(r"[-+]?\d+", bound) for bound in found.group(2, 3)):
        low, high = (int(bound) for bound in found.group(2, 3))
    return Range(found[1], low, high, bool(found[4]))


def overrides(space: Sequence[Dimension], values: Mapping[str, Any]) -> Overrides:
    """Values as settings in the order of the space; a number as short as it can be written."""
    return tuple(f"{dimension.name}={values[dimension.name]}" for dimension in space)


def samples(space: Sequence[Dimension]) -> list[Overrides]:
    """Sets of overrides that have every end of each range and every choice at least once."""
    first = {dimension.name: dimension.ends[0] for dimension in space}
    sets = [
        overrides(space, {**first, dimension.name: end})
        for dimension in space
        for end in dimension.ends
    ]
    return list(dict.fromkeys(sets))
