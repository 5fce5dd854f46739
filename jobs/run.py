"""One run of a sweep: its folder, and the command that trains it."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.sweep import Overrides, run_names

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Run:
    """One run of a sweep; `command` trains it in the environment `environment()`."""

    name: str
    overrides: Overrides
    workdir: Path
    command: tuple[str, ...]

    @property
    def log(self) -> Path:
        """File with the output of the run."""
        return self.workdir.with_name(f"{self.name}.log")

    @property
    def finished(self) -> bool:
        """True once result.json exists."""
        return (self.workdir / "result.json").is_file()


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
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def environment() -> dict[str, str]:
    """Environment of a run."""
    return {**os.environ, "PYTHONPATH": python_path()}


def exit_code(returncode: int) -> int:
    """Exit code of a process as a shell reports it: 128 + N when signal N ended it."""
    return 128 - returncode if returncode < 0 else returncode


def shell_line(run: Run) -> str:
    """Shell command that starts the run from any folder as if from the current one."""
    path = shlex.quote(f"PYTHONPATH={python_path()}")
    return f"cd {shlex.quote(os.getcwd())} && env {path} {shlex.join(run.command)}"
