"""Files beside the runs: sweep.json lists the runs, exits.jsonl how their processes ended."""

import contextlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from jobs.locks import locked, no_link, replace_file
from jobs.run import Run
from jobs.sweep import UsageError

# files of a sweep or of its runs, each of which exists before the others; with --backend=print, a
# run is started without a sweep
MARKS = ("sweep.json", "sweep.lock", "*/.lock", "*/config.json", "*/replicas.json", "*/result.json")
# outputs that a shell or Slurm has opened before; an empty file system
BESIDE = ("*.log", "*.out", "*.err", "log.txt", "slurm", "lost+found", ".*")
SHOWN = 3


def read_json(path: Path) -> Any:
    """Contents of a JSON file, None when it does not exist; UsageError when it is unreadable."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, atomically."""
    replace_file(path, json.dumps(value, indent=1) + "\n")


def read_sweep(folder: Path) -> dict[str, Any]:
    """Contents of sweep.json: the experiment, and name, overrides and steps of each run.

    {"experiment": "", "runs": []} when it does not exist. Raises UsageError when it is unreadable
    or has another form.
    """
    sweep = read_json(folder / "sweep.json")
    if sweep is None:
        return {"experiment": "", "runs": []}
    form = {"experiment": str, "runs": list}
    of_run = {"name": str, "overrides": list, "steps": int}
    if not (has_form(sweep, form) and all(has_form(run, of_run) for run in sweep["runs"])):
        raise UsageError(f"{folder / 'sweep.json'} is not the list of the runs of a sweep")
    return sweep


def has_form(value: Any, form: Mapping[str, type]) -> bool:
    """Whether a value is an object with fields of these types."""
    return isinstance(value, dict) and all(
        isinstance(value.get(name), kind) for name, kind in form.items()
    )


def check_folder(folder: Path, experiment: str) -> None:
    """Raise UsageError when a folder has a sweep of another experiment, or files but no sweep."""
    saved = read_sweep(folder)["experiment"]
    if saved not in ("", experiment):
        raise UsageError(f"workdir {folder} contains runs of {saved}: give another --workdir")
    if others := other_files(folder):
        listed = ", ".join([*others[:SHOWN], *["..."][: len(others) - SHOWN]])
        raise UsageError(
            f"workdir {folder} is not empty and contains no sweep, but {listed}: give another "
            "--workdir, such as a new folder"
        )


def other_files(folder: Path) -> list[str]:
    """Names in a folder without a sweep or runs, except logs and folders that are empty."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:  # it does not exist, or opening it says what is wrong
        return []
    others = [name for name in names if not any(fnmatch(name, pattern) for pattern in BESIDE)]
    # asked after the names: another launch may be writing its first files
    if not others or any(next(folder.glob(mark), None) for mark in MARKS):
        return []
    return [name for name in others if not is_empty(folder / name)]


def is_empty(path: Path) -> bool:
    """Whether a path is an empty folder, such as that of a run killed before its first file."""
    with contextlib.suppress(OSError):  # a file, or a folder of another user
        return not os.listdir(path)
    return False


def add_runs(folder: Path, experiment: str, runs: Iterable[Run], steps: Sequence[int]) -> None:
    """Add runs to sweep.json; concurrent launches wait for one another, so no run is lost."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with locked(folder / "sweep.lock"):
        _add_runs(folder, experiment, runs, steps)


def _add_runs(folder: Path, experiment: str, runs: Iterable[Run], steps: Sequence[int]) -> None:
    known = {run["name"]: run for run in read_sweep(folder)["runs"]}
    for run, count in zip(runs, steps, strict=True):
        known[run.name] = {"name": run.name, "overrides": run.overrides, "steps": count}
    write_json(folder / "sweep.json", {"experiment": experiment, "runs": list(known.values())})


def append_line(path: Path, value: Any) -> None:
    """Append to a file of JSON objects, one per line, even if a kill truncated the last line."""
    with open(path, "a+b", opener=no_link) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        truncated = size and file.read() != b"\n"
        file.write(b"\n" * bool(truncated) + json.dumps(value).encode() + b"\n")


def read_lines(path: Path, form: Mapping[str, type]) -> list[dict[str, Any]]:
    """Objects of such a file, without lines that are truncated or lack the fields of `form`.

    Empty when the file does not exist. Raises UsageError when it cannot be read.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    lines = []
    for text in content.split(b"\n"):
        with contextlib.suppress(ValueError):
            lines.append(json.loads(text))
    return [line for line in lines if has_form(line, form)]


def log_exit(folder: Path, name: str, code: int, **more: Any) -> None:
    """Append to exits.jsonl how a run ended, which attempts.jsonl lacks if training never began."""
    line = {"name": name, "exit": code, "time": round(time.time(), 3), **more}
    append_line(folder / "exits.jsonl", line)


def read_exits(folder: Path) -> dict[str, dict[str, Any]]:
    """Last line of exits.jsonl about each run, by its name."""
    form = {"name": str, "exit": int, "time": float}
    return {line["name"]: line for line in read_lines(folder / "exits.jsonl", form)}
