"""Whether the value of a setting is valid, by the declaration of the setting."""

import difflib
import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any

BOUNDS = {
    "minimum": ("at least", operator.ge),
    "above": ("above", operator.gt),
    "maximum": ("at most", operator.le),
    "below": ("below", operator.lt),
}


def error(value: Any, expected: type, meta: Mapping[str, Any]) -> str:
    """Return the requirement that `value` violates, and the value; empty when it is valid."""
    items = value if isinstance(value, tuple) else (value,)
    valid = type(value) is expected or (expected is float and type(value) is int)
    if not valid or (expected is tuple and any(type(item) not in (int, float) for item in items)):
        kind = "tuple of numbers" if expected is tuple else expected.__name__
        return f"of type {kind}, got {value!r}"
    if meta["choices"] and value not in meta["choices"]:
        listed = ", ".join(meta["choices"])
        return f"one of {listed}, got {value!r}{hint(value, meta['choices'])}"
    for name, bound in meta["bounds"].items():
        phrase, satisfies = BOUNDS[name]
        if not all(satisfies(item, bound) for item in items):
            return f"{phrase} {bound}, got {value!r}"
    if expected in (float, tuple) and not all(map(math.isfinite, items)):
        return f"finite, got {value!r}"
    if expected is str and any(0xD800 <= ord(character) < 0xE000 for character in value):
        return f"valid Unicode, got {value!r}"
    return ""


def hint(name: str, names: Iterable[str]) -> str:
    """Text that suggests the nearest of `names`; empty when none is near."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""


def range_of(text: str) -> range | None:
    """Return the steps of "FIRST..LAST", an empty range for "", None for anything else."""
    first, _, last = text.partition("..")
    if not text:
        return range(0)
    valid = first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last)
    return range(int(first), int(last) + 1) if valid else None
