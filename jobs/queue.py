"""Runs in Slurm's queue: jobs.jsonl lists the submitted runs, squeue those that have not ended."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.record import append_line, read_lines
from jobs.sweep import UsageError


@dataclass(frozen=True)
class Queued:
    """State of a submitted run, 'running' or 'waiting'; its job and the node or reason."""

    state: str
    details: str


def add_job(folder: Path, job: str, names: Sequence[str]) -> None:
    """Append a job to jobs.jsonl: its tasks 0, 1, ... are the runs of these names."""
    append_line(folder / "jobs.jsonl", {"job": job, "names": list(names)})


def read_queue(folder: Path) -> dict[str, Queued]:
    """Runs of a sweep that are waiting or running in Slurm, by name; empty without Slurm.

    Raises UsageError when Slurm does not answer.
    """
    path = folder / "jobs.jsonl"
    names = {line["job"]: line["names"] for line in read_lines(path, {"job": str, "names": list})}
    if not names:
        return {}
    jobs = ",".join([*names, *names])  # squeue fails when its only job has ended
    words = ["squeue", "--noheader", "--array", f"--jobs={jobs}", "--format=%F|%K|%T|%R"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return {}
    if done.returncode:
        raise UsageError(f"squeue: {done.stderr.strip()}")
    queue = {}
    for line in done.stdout.splitlines():
        job, task, slurm_state, reason = line.split("|", 3)
        index = int(task) if task.isdigit() else 0  # a single run is not an array
        state = "running" if slurm_state in ("RUNNING", "COMPLETING") else "waiting"
        queue[names[job][index]] = Queued(state, f"job {job}_{index} {reason}")
    return queue
