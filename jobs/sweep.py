"""The grammar of a sweep: from the command line to sets of overrides, and the names of runs."""

import ast
import contextlib
import itertools
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

Overrides = tuple[str, ...]  # NAME=VALUE each, in the order given

MAX_NAME_BYTES = 200  # with a suffix, still a valid file name on every system
SHELL_WORD = re.compile(r"""\s*(\#.*|(?:[^\s'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+|\S)""")


class UsageError(ValueError):
    """An invalid command line."""


def expand(
    sweep: Sequence[str], zipped: Sequence[str] = (), file: Path | None = None
) -> list[Overrides]:
    """Sets of overrides: lines of `file`, times the pairs of `zipped`, times each axis of `sweep`.

    Raises UsageError on bad grammar and on a setting that is repeated.
    """
    axes = [[(f"{name}={value}",) for value in values] for name, values in map(parse_axis, sweep)]
    factors = [read_sets(file) if file else [()], zip_axes(zipped), *axes]
    sets = [tuple(itertools.chain(*chosen)) for chosen in itertools.product(*factors)]
    for overrides in sets:
        if name := _repeated(overrides):
            raise UsageError(f"two axes have the same setting, {name}: give all its values in one")
    return sets


def parse_axis(text: str, flag: str = "--sweep") -> tuple[str, list[str]]:
    """'cell=rnn,gru' -> ('cell', ['rnn', 'gru']); also 'seed=0..2' and 'widths=[(3,4),(5,6)]'."""
    name, equals, values = text.partition("=")
    if not (name.isidentifier() and equals and values):
        raise UsageError(f"{flag}={text} must be NAME=VALUES, as in cell=rnn,gru or seed=0..4")
    if bounds := re.fullmatch(r"(-?\d+)\.\.(-?\d+)", values):
        low, high = map(int, bounds.groups())
        items = [str(i) for i in range(low, high + 1)]
    elif values.startswith("["):
        try:
            items = [str(item) for item in ast.literal_eval(values)]
        except (SyntaxError, TypeError, ValueError) as error:
            raise UsageError(f"{flag}={text}: {values} is not a Python list") from error
    else:
        items = values.split(",")
    if not items:
        raise UsageError(f"{flag}={text} has no values")
    return name, items


def zip_axes(texts: Sequence[str]) -> list[Overrides]:
    """Axes paired value by value; without axes, one empty set."""
    axes = [parse_axis(text, "--zip") for text in texts]
    if len({len(values) for _, values in axes}) > 1:
        counts = ", ".join(f"{name} has {len(values)}" for name, values in axes)
        raise UsageError(f"--zip needs the same number of values in every axis: {counts}")
    columns = [[f"{name}={value}" for value in values] for name, values in axes]
    return list(zip(*columns, strict=True)) or [()]


def read_sets(path: Path) -> list[Overrides]:
    """Read a set of overrides from each line: NAME=VALUE words, quoted as in a shell.

    Raises UsageError with the number of an invalid line.
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
            raise UsageError(f"{path}:{number}: same settings as line {numbers[overrides]}")
        if overrides:
            numbers[overrides] = number
    if not numbers:
        raise UsageError(f"--sweep_file={path} has no settings")
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
    if repeated := _repeated(overrides):
        raise ValueError(f"{repeated} is given twice")
    return tuple(overrides)


def _canonical(value: str) -> str:
    """Format a tuple as Python does, so that a file and --sweep give a run the same name."""
    if value.startswith("("):
        with contextlib.suppress(SyntaxError, TypeError, ValueError):
            return str(ast.literal_eval(value))
    return value


def _repeated(overrides: Iterable[str]) -> str | None:
    """Name of the first setting that occurs more than once."""
    names = [text.partition("=")[0] for text in overrides]
    return next((name for name in names if names.count(name) > 1), None)


def run_names(sets: Sequence[Overrides]) -> list[str]:
    """Folder name of each run, from its overrides alone; 'run' when there are none.

    Raises UsageError when two names are equal, or one is too long.
    """
    names = [re.sub(r"[^\w.=,+-]+", "_", ",".join(overrides)) or "run" for overrides in sets]
    known: set[str] = set()
    for name in names:
        if name in known:
            raise UsageError(f"two runs of the sweep have the same folder: {name}")
        if len(os.fsencode(name)) > MAX_NAME_BYTES:
            raise UsageError(f"the folder name of a run is too long: {name[:60]}...")
        known.add(name)
    return names
