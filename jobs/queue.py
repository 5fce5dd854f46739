"""What is in Slurm's queue: jobs.jsonl says what was submitted, squeue what of it is left."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.record import append_line, read_lines
from jobs.sweep import UsageError


@dataclass(frozen=True)
class Queued:
    """Where a submitted run is: 'running', or 'waiting' for the reason that `words` ends with."""

    state: str
    words: str


def add_job(folder: Path, job: str, names: Sequence[str]) -> None:
    """Append to jobs.jsonl that the tasks 0, 1, ... of a job are the runs of these names."""
    append_line(folder / "jobs.jsonl", {"job": job, "names": list(names)})


def read_queue(folder: Path) -> dict[str, Queued]:
    """Runs of a sweep that wait or run in Slurm now; none where there is no Slurm.

    Raises UsageError when Slurm does not answer.
    """
    names = {line["job"]: line["names"] for line in read_lines(folder / "jobs.jsonl")}
    if not names:
        return {}
    asked = ",".join([*names, *names])  # it is an error when the only job asked for has ended
    words = ["squeue", "--noheader", "--array", f"--jobs={asked}", "--format=%F|%K|%T|%R"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return {}
    if done.returncode:
        raise UsageError(f"squeue: {done.stderr.strip()}")
    queue = {}
    for line in done.stdout.splitlines():
        job, task, state, reason = line.split("|", 3)
        index = int(task) if task.isdigit() else 0  # a single run is no array
        alive = "running" if state in ("RUNNING", "COMPLETING") else "waiting"
        queue[names[job][index]] = Queued(alive, f"job {job}_{index} {reason}")
    return queue
