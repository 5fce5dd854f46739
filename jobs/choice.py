"""Flags with a list of valid values, and the nearest of these to a wrong one."""

import difflib
from collections.abc import Sequence

from absl import flags


class Choice(flags.EnumParser):
    """Parser of a flag with a list of valid values; the error for another one has the nearest."""

    def parse(self, argument: str) -> str:
        """Return a valid value; ValueError for another."""
        if argument not in self.enum_values:
            listed = ", ".join(self.enum_values)
            raise ValueError(f"must be one of {listed}{hint(argument, self.enum_values)}")
        return argument


def hint(name: str, names: Sequence[str]) -> str:
    """Text that suggests the nearest of `names`; empty when none is near."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
