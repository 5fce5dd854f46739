"""The grammar of a search space: from the command line to ranges and lists of choices."""

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
    """A numeric setting from `low` to `high`; an integer when both are int."""

    name: str
    low: float
    high: float
    log: bool

    @property
    def ends(self) -> tuple[float, ...]:
        """Values whose validity implies that of all values between them."""
        return self.low, self.high


@dataclass(frozen=True)
class Choice:
    """A setting with a list of values, as texts."""

    name: str
    ends: tuple[str, ...]


Dimension = Range | Choice


def parse_space(texts: Sequence[str]) -> list[Dimension]:
    """'rate=1e-4..1e-1:log' and 'hidden=32..512' -> ranges; 'cell=rnn,gru' -> a choice.

    Raises UsageError on bad grammar, on an empty range, and on a setting that is repeated.
    """
    space = [_parse(text) for text in texts]
    names = [dimension.name for dimension in space]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two --space flags have the same setting, {name}: give it once")
    return space


def _parse(text: str) -> Dimension:
    match = RANGE.fullmatch(text)
    if not match:
        name, values = parse_axis(text, "--space")
        return Choice(name, tuple(dict.fromkeys(values)))
    low, high = (float(bound) for bound in match.group(2, 3))
    if not (low < high and math.isfinite(high - low)):
        raise UsageError(f"--space={text}: the start of a range must be below its end")
    if match[4] and low <= 0:
        raise UsageError(f"--space={text}: a logarithmic range must start above 0")
    if all(re.fullmatch(r"[-+]?\d+", bound) for bound in match.group(2, 3)):
        low, high = (int(bound) for bound in match.group(2, 3))
    return Range(match[1], low, high, bool(match[4]))


def overrides(space: Sequence[Dimension], values: Mapping[str, Any]) -> Overrides:
    """Values as settings in the order of the space; numbers in their shortest form."""
    return tuple(f"{dimension.name}={values[dimension.name]}" for dimension in space)


def samples(space: Sequence[Dimension]) -> list[Overrides]:
    """Sets of overrides that contain both ends of each range and every choice at least once."""
    first = {dimension.name: dimension.ends[0] for dimension in space}
    sets = [
        overrides(space, {**first, dimension.name: end})
        for dimension in space
        for end in dimension.ends
    ]
    return list(dict.fromkeys(sets))
