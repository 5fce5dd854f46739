"""One run of a sweep: its folder, and the command that trains it."""

import json
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.sweep import Overrides, run_names

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Run:
    """One run of a sweep; `command` trains it in the environment `environment()`.

    steps: its number of steps, or 0 until its settings have been checked.
    """

    name: str
    overrides: Overrides
    workdir: Path
    command: tuple[str, ...]
    steps: int = 0

    @property
    def log(self) -> Path:
        """File with the output of the run."""
        return self.workdir.with_name(f"{self.name}.log")

    @property
    def finished(self) -> bool:
        """True when the run has its result."""
        return is_finished(self.workdir, self.steps)


def is_finished(workdir: Path, steps: int) -> bool:
    """Whether a run has a result, and one of at least `steps` steps unless it ended early.

    A damaged result does not count: the run writes it again, from its last checkpoint.
    """
    try:
        result = json.loads((workdir / "result.json").read_bytes())
    except (OSError, ValueError):
        return False
    if not isinstance(result, dict):
        return False
    return result.get("end") != "steps" or result.get("step", steps) >= steps


def make_runs(
    experiment: str, folder: Path, config: Sequence[str], sets: Sequence[Overrides]
) -> list[Run]:
    """Make a run below `folder` for each set of overrides; config: the flags that all share."""
    runs = []
    for name, overrides in zip(run_names(sets), sets, strict=True):
        workdir = folder / name
        command = [sys.executable, "-m", f"experiments.{experiment}", f"--workdir={workdir}"]
        own = [f"--config.{text}" for text in overrides]
        runs.append(Run(name, overrides, workdir, (*command, *config, *own)))
    return runs


def python_path() -> str:
    """PYTHONPATH that finds the project from any folder, so that relative paths stay valid."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join([str(ROOT), *filter(None, given)])


def variables() -> dict[str, str]:
    """Variables that let Python find the project, but import nothing from the current folder.

    A user's files there may have names such as train.py.
    """
    return {"PYTHONPATH": python_path(), "PYTHONSAFEPATH": "1"}


def environment() -> dict[str, str]:
    """Environment of a run."""
    return {**os.environ, **variables()}


def exit_code(returncode: int) -> int:
    """Exit code of a process as a shell reports it: 128 + N when signal N ended it."""
    return 128 - returncode if returncode < 0 else returncode


def shell_line(run: Run) -> str:
    """Shell command that starts the run from any folder as if from the current one."""
    own = [f"{name}={value}" for name, value in variables().items()]
    return f"cd {quote(os.getcwd())} && env {join([*own, *run.command])}"


def quote(word: str) -> str:
    """Quote a word for bash, on one line and without control characters."""
    if word.isprintable():
        return shlex.quote(word)
    plain = (c if c.isprintable() and c not in "\\'" else _escape(c) for c in word)
    return f"$'{''.join(plain)}'"


def _escape(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


def join(words: Iterable[str]) -> str:
    """Quote words for bash, as `quote` does."""
    return " ".join(map(quote, words))
