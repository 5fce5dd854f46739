"""Where results come from: settings, environment and command of runs, and what differs."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.report.runs import Run, defaults_of
from train.config import ConfigError
from train.rundir import read_json

VALUES = 12  # maximum values of a name in the list of what differs
OF_FOLDERS = ("experiment", "folder")  # what `load_folders` adds to the settings


def settings_of(run: Run) -> dict[str, Any]:
    """Settings of a run as in its config."""
    return {name: value for name, value in run.config.items() if name not in OF_FOLDERS}


def read_object(path: Path) -> dict[str, Any]:
    """Object in a JSON file; {} when there is none, or when it is damaged."""
    try:
        value = read_json(path)
    except ConfigError:
        return {}
    return value if isinstance(value, dict) else {}


def flat(values: dict[str, Any]) -> dict[str, Any]:
    """Values of nested objects, under names such as versions.jax."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        inner = flat(value) if isinstance(value, dict) else {}
        found |= {f"{name}.{key}": each for key, each in inner.items()} if inner else {name: value}
    return found


def flat_environment(run: Run) -> dict[str, Any]:
    """Latest environment of a run."""
    environment = read_object(run.path / "environment.json")
    return flat({name: value for name, value in environment.items() if name != "attempts"})


def counted(objects: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """How many of the objects have each value of each name, as text; "-" where it is missing."""
    found: dict[str, dict[str, int]] = {}
    for name in dict.fromkeys(name for each in objects for name in each):
        counts = found.setdefault(name, {})
        for each in objects:
            text = "-" if name not in each else str(each[name]) or "(empty)"
            counts[text] = counts.get(text, 0) + 1
    return found


def differing(objects: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Names whose values are not equal in all objects, with the count of each value."""
    rows = []
    for name, counts in counted(objects).items():
        texts = [f"{value} ({count}×)" for value, count in list(counts.items())[:VALUES]]
        more = [f"and {len(counts) - VALUES} more"] * (len(counts) > VALUES)
        if len(counts) > 1:
            rows.append((name, ", ".join([*texts, *more])))
    return rows


def shared(objects: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Names whose values are equal in all objects, with the value."""
    counts = counted(objects)
    return [(name, next(iter(values))) for name, values in counts.items() if len(values) == 1]


def command_of(run: Run) -> str:
    """Command that repeats a run, with those of its settings that are not the defaults.

    Text "" when the folder of the run does not have its experiment and its flags.
    """
    path = run.path / "flags.txt"
    if not (run.experiment and path.is_file()):
        return ""
    defaults = json.loads(json.dumps(defaults_of(run), default=str))
    flags = []
    for line in path.read_text(encoding="utf-8").splitlines():
        name = line.removeprefix("--config.").partition("=")[0]
        if name not in defaults or run.config.get(name) != defaults[name]:
            flags.append(line)
    words = ["python", "-m", f"experiments.{run.experiment}", "--workdir=runs/repeated", *flags]
    return shlex.join(words)
