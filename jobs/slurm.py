"""Submission of a sweep to Slurm as one array job; nothing here waits for its end."""

import contextlib
import importlib
import io
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from jobs.queue import add_job, read_queue
from jobs.run import Run
from jobs.sbatch import all_options, setup_lines
from jobs.sweep import UsageError
from jobs.task import work


def find_submitit() -> ModuleType:
    """Return the module submitit; UsageError when it or Slurm is not installed."""
    if missing := [name for name in ("sbatch", "squeue", "srun") if not shutil.which(name)]:
        raise UsageError(
            f"--backend=slurm: {missing[0]} is not installed on this machine; --backend=print "
            "writes a script for a machine with Slurm"
        )
    try:
        return importlib.import_module("submitit")
    except ImportError as error:
        raise UsageError("--backend=slurm needs submitit: pip install '.[slurm]'") from error


def check_owner(folder: Path) -> None:
    """Raise UsageError when other users can write to a folder of Python objects that a job reads.

    Whoever can replace such a file can run any code as the user of the job.
    """
    about = folder.stat()
    if about.st_uid not in (os.getuid(), 0):
        raise UsageError(f"{folder} belongs to another user: give another --workdir")
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(
            f"other users can write to {folder}, and so run code in its jobs: chmod go-w {folder}"
        )


def submit_all(
    folder: Path,
    options: Mapping[str, str],
    runs: Sequence[Run],
    steps: Sequence[int],
    workers: int,
) -> int:
    """Submit the runs that are neither finished nor in the queue; print what to do next; return 0.

    steps: number of steps of each run. workers: maximum number of concurrent runs. Raises
    UsageError when Slurm rejects the job, or when other users can write to the folder.
    """
    submitit = find_submitit()
    queue = read_queue(folder)
    finished = [run for run in runs if run.finished]
    queued = [run for run in runs if run.name in queue and not run.finished]
    waiting = [run for run in runs if run.name not in queue and not run.finished]
    for some, state in ((finished, "finished"), (queued, "in the queue")):
        if some:
            print(f"{len(some)} of {len(runs)} runs are already {state}", flush=True)
    if not waiting:
        return 0
    for each in (folder, folder / "slurm"):
        each.mkdir(mode=0o700, exist_ok=True)
        check_owner(each)
    executor = submitit.SlurmExecutor(folder / "slurm")
    executor.update_parameters(
        **{"job_name": None, "time": None, "wckey": None},  # removes the defaults of submitit
        array_parallelism=workers,
        setup=setup_lines(options),
        additional_parameters=all_options(folder, options),
    )
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # the error contains what it prints
            tasks = executor.map_array(work, waiting)
    except submitit.core.utils.FailedJobError as error:
        lines = [line.removeprefix("sbatch: error: ") for line in str(error).splitlines()]
        raise UsageError(f"sbatch: {'; '.join(lines)}") from error
    job = tasks[0].job_id.partition("_")[0]
    add_job(folder, job, [run.name for run in waiting])
    total = sum(count for run, count in zip(runs, steps, strict=True) if run in waiting)
    number = f"{len(waiting)} run{'s'[: len(waiting) > 1]}"
    print(f"job {job}: {number} submitted, {total} steps in total")
    print(f"follow with launch.py --status --workdir={folder}, then use --report", flush=True)
    return 0
