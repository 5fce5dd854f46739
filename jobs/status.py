"""The state of every run of a sweep, from the files in its folder and Slurm's queue."""

import collections
import contextlib
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.locks import is_locked
from jobs.queue import Queued, read_queue
from jobs.record import has_form, read_exits, read_json, read_sweep
from jobs.run import is_finished
from jobs.sweep import UsageError

STATES = ("done", "running", "waiting", "preempted", "pruned", "failed")
TAIL = 8192  # bytes that are read from the end of a file
PREEMPTED = 75  # exit code of a run that was stopped and saved
STOPPED = (PREEMPTED, 128 + signal.SIGTERM)  # the second: stopped before there was a checkpoint


@dataclass(frozen=True)
class Status:
    """State of a run, its current step and number of steps; its error or its job in Slurm."""

    name: str
    state: str
    step: int
    steps: int
    details: str = ""


def sweep_status(folder: Path) -> list[Status]:
    """State of each run in sweep.json, and of each other run in the folder.

    Raises UsageError when there is no run.
    """
    steps = {run["name"]: run["steps"] for run in read_sweep(folder)["runs"]}
    for path in sorted(folder.glob("*/config.json")):  # a run started by hand
        if path.parent.name not in steps:
            config = read_json(path)
            steps[path.parent.name] = config["steps"] if has_form(config, {"steps": int}) else 0
    if not steps:
        raise UsageError(f"there is no run in {folder}")
    exits, queue = read_exits(folder), read_queue(folder)
    return [
        run_status(folder / name, count, exits.get(name), queue.get(name))
        for name, count in steps.items()
    ]


def run_status(
    workdir: Path, steps: int, ended: dict[str, Any] | None, queued: Queued | None = None
) -> Status:
    """State of a run.

    ended: how the process of its last launch ended, if known. queued: its state in Slurm, if it is
    in the queue.
    """
    name, log = workdir.name, workdir.with_name(f"{workdir.name}.log")
    if is_finished(workdir, steps):
        return Status(name, "done", steps, steps)
    step, attempt = last_step(workdir), last_object(latest_run(workdir) / "attempts.jsonl")
    event = attempt.get("event", "")
    if is_running(workdir):
        return Status(name, "running", step, steps, queued.details if queued else "")
    if queued:
        return Status(name, queued.state, step, steps, queued.details)
    if ended and ended["time"] >= attempt.get("time", 0):
        stopped = "pruned" if ended.get("pruned") else "preempted"
        state = stopped if ended["exit"] in STOPPED else "failed" if ended["exit"] else "waiting"
    elif event == "PreemptedError":
        state = "preempted"
    else:
        state = "failed" if event or log.exists() else "waiting"
    error = "".join(last_lines(log, 1)) if state == "failed" else ""
    return Status(name, state, step, steps, error)


def latest_run(workdir: Path) -> Path:
    """Folder with the progress of a run: its own, or that of the most recently written replica."""
    replicas = [] if (workdir / "config.json").is_file() else workdir.glob("*/attempts.jsonl")
    return max((path.parent for path in replicas), key=_written, default=workdir)


def _written(folder: Path) -> float:
    files = (folder / name for name in ("metrics.jsonl", "attempts.jsonl"))
    return max((path.stat().st_mtime for path in files if path.is_file()), default=0.0)


def is_running(workdir: Path) -> bool:
    """True while a live process trains in a run directory, or has been started to do so."""
    if is_locked(workdir.with_name(f"{workdir.name}.log")):
        return True
    run = latest_run(workdir)
    # testing the lock takes it for an instant, so it is tested only when the run has started: a run
    # that is about to start must find it free
    started = last_object(run / "attempts.jsonl").get("event") == "start"
    return started and is_locked(run / ".lock")


def last_step(workdir: Path) -> int:
    """Last step in the files of a run directory; 0 when the run has not started."""
    run = latest_run(workdir)
    lines = [last_object(run / name) for name in ("metrics.jsonl", "attempts.jsonl")]
    return max(line.get("step", 0) for line in lines)


def last_object(path: Path) -> dict[str, Any]:
    """Last complete line of a file of JSON objects; empty when there is none."""
    for line in reversed(_tail(path).split(b"\n")[:-1]):
        with contextlib.suppress(ValueError):  # a line that a kill truncated
            if isinstance(value := json.loads(line), dict):
                return value
    return {}


def last_lines(path: Path, count: int) -> list[str]:
    """Last non-empty lines of a log."""
    lines = _tail(path).decode(errors="replace").splitlines()
    return [line for line in lines if line.strip()][-count:]


def _tail(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return b""


def status_table(statuses: list[Status]) -> str:
    """One line per run, then totals."""
    width = max(len(status.name) for status in statuses)
    digits = max(len(str(status.steps)) for status in statuses)
    rows = [
        f"{s.name:<{width}}  {s.state:<9}  {s.step:>{digits}} of {s.steps:<{digits}}  {s.details}"
        for s in statuses
    ]
    counts = collections.Counter(status.state for status in statuses)
    states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    step, steps = sum(s.step for s in statuses), sum(s.steps for s in statuses)
    total = f"{len(statuses)} run{'s'[: len(statuses) > 1]}: {states}; step {step} of {steps}"
    return "\n".join([*(row.rstrip() for row in rows), total])
