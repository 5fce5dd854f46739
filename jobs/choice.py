"""Flags with a list of valid values, and the nearest of these to a wrong one."""

import difflib
from collections.abc import Sequence

from absl import flags


class Choice(flags.ArgumentParser[str]):
    """A flag with a list of valid values; ValueError with the nearest of them for another one."""

    syntactic_help = ""

    def __init__(self, choices: list[str]):
        super().__init__()
        self.choices = choices

    def parse(self, argument: str) -> str:
        """Return a valid value."""
        if argument not in self.choices:
            listed = ", ".join(self.choices)
            raise ValueError(f"must be one of {listed}{hint(argument, self.choices)}")
        return argument


def hint(name: str, names: Sequence[str]) -> str:
    """Text that suggests the nearest of `names`; empty when none is near."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
