"""The grammar of a sweep: words of the command line to sets of overrides, and their names."""

import ast
import contextlib
import itertools
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

Overrides = tuple[str, ...]  # NAME=VALUE each, in the order given

LONGEST_NAME = 200  # bytes; with an ending, still a file name everywhere
SHELL_WORD = re.compile(r"""\s*(\#.*|(?:[^\s'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+|\S)""")


class UsageError(ValueError):
    """A command line that cannot be used."""


def expand(
    sweep: Sequence[str], zipped: Sequence[str] = (), file: Path | None = None
) -> list[Overrides]:
    """Sets of overrides: lines of `file`, times the pairs of `zipped`, times each axis of `sweep`.

    Raises UsageError on bad grammar and when two of them give the same setting.
    """
    axes = [[(f"{name}={value}",) for value in values] for name, values in map(parse_axis, sweep)]
    factors = [read_sets(file) if file else [()], zip_axes(zipped), *axes]
    sets = [tuple(itertools.chain(*chosen)) for chosen in itertools.product(*factors)]
    for overrides in sets:
        if name := _given_twice(overrides):
            raise UsageError(
                f"two axes are of the same setting, {name}: give all its values in one"
            )
    return sets


def parse_axis(text: str, flag: str = "--sweep") -> tuple[str, list[str]]:
    """'cell=rnn,gru' -> ('cell', ['rnn', 'gru']); 'seed=0..2' and '=[(3,4),(5,6)]' as well."""
    name, equals, values = text.partition("=")
    if not (name.isidentifier() and equals and values):
        raise UsageError(f"{flag}={text} must be NAME=VALUES, as in cell=rnn,gru or seed=0..4")
    if bounds := re.fullmatch(r"(-?\d+)\.\.(-?\d+)", values):
        low, high = map(int, bounds.groups())
        found = [str(i) for i in range(low, high + 1)]
    elif values.startswith("["):
        try:
            found = [str(item) for item in ast.literal_eval(values)]
        except (SyntaxError, TypeError, ValueError) as error:
            raise UsageError(f"{flag}={text}: {values} is not a Python list") from error
    else:
        found = values.split(",")
    if not found:
        raise UsageError(f"{flag}={text} has no values")
    return name, found


def zip_axes(texts: Sequence[str]) -> list[Overrides]:
    """Axes paired value by value; one empty set for no axes."""
    axes = [parse_axis(text, "--zip") for text in texts]
    if len({len(values) for _, values in axes}) > 1:
        counts = ", ".join(f"{name} has {len(values)}" for name, values in axes)
        raise UsageError(f"--zip pairs value by value, so all need as many values: {counts}")
    columns = [[f"{name}={value}" for value in values] for name, values in axes]
    return list(zip(*columns, strict=True)) or [()]


def read_sets(path: Path) -> list[Overrides]:
    """Read a set of overrides from each line: NAME=VALUE words, quoted as in a shell.

    Raises UsageError naming the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read --sweep_file={path}: {error}") from error
    numbers: dict[Overrides, int] = {}
    for number, line in enumerate(lines, 1):
        try:
            overrides = _read_line(line)
        except ValueError as error:
            raise UsageError(f"{path}:{number}: {error}") from error
        if overrides in numbers:
            raise UsageError(f"{path}:{number}: the same as line {numbers[overrides]}")
        if overrides:
            numbers[overrides] = number
    if not numbers:
        raise UsageError(f"--sweep_file={path} has no line of settings")
    return list(numbers)


def _read_line(line: str) -> Overrides:
    words = [word for word in SHELL_WORD.findall(line) if not word.startswith("#")]
    overrides = []
    for word in words:
        (text,) = shlex.split(word)
        name, equals, value = text.partition("=")
        if not (name.isidentifier() and equals):
            raise ValueError(f"{text!r} must be NAME=VALUE, as in cell=gru")
        overrides.append(f"{name}={_canonical(value)}")
    if twice := _given_twice(overrides):
        raise ValueError(f"{twice} is given twice")
    return tuple(overrides)


def _canonical(value: str) -> str:
    """Return a tuple as Python writes it, so that a file and --sweep name a run alike."""
    if value.startswith("("):
        with contextlib.suppress(SyntaxError, TypeError, ValueError):
            return str(ast.literal_eval(value))
    return value


def _given_twice(overrides: Iterable[str]) -> str | None:
    """Name of a setting that is given more than once."""
    names = [text.partition("=")[0] for text in overrides]
    return next((name for name in names if names.count(name) > 1), None)


def run_names(sets: Sequence[Overrides]) -> list[str]:
    """Folder of each run, from its overrides alone; 'run' when there are none.

    Raises UsageError when two would be the same, or one too long.
    """
    names = [re.sub(r"[^\w.=,+-]+", "_", ",".join(overrides)) or "run" for overrides in sets]
    known: set[str] = set()
    for name in names:
        if name in known:
            raise UsageError(f"two runs of the sweep would have the same folder: {name}")
        if len(os.fsencode(name)) > LONGEST_NAME:
            raise UsageError(f"the name of a run is too long for a folder: {name[:60]}...")
        known.add(name)
    return names
