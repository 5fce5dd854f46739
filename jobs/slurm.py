"""A sweep submitted to Slurm, as one array job; nothing here waits for it."""

import contextlib
import importlib
import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from jobs.queue import add_job, read_queue
from jobs.run import Run
from jobs.sbatch import all_options, setup_lines
from jobs.sweep import UsageError
from jobs.task import work


def find_submitit() -> ModuleType:
    """Return the module submitit; UsageError where it, or Slurm, is not installed."""
    if missing := [name for name in ("sbatch", "squeue", "srun") if not shutil.which(name)]:
        raise UsageError(
            f"--backend=slurm: there is no {missing[0]} on this machine; --backend=print writes "
            "a script for one that has Slurm"
        )
    try:
        return importlib.import_module("submitit")
    except ImportError as error:
        raise UsageError("--backend=slurm needs submitit: pip install '.[slurm]'") from error


def submit_all(
    folder: Path,
    options: Mapping[str, str],
    runs: Sequence[Run],
    steps: Sequence[int],
    workers: int,
) -> int:
    """Submit what is neither finished nor in the queue, and say how to go on; returns 0.

    `steps` are those of each run, `workers` how many runs may go on at a time. Raises UsageError
    when Slurm does not take it.
    """
    submitit = find_submitit()
    queue = read_queue(folder)
    finished = [run for run in runs if run.finished]
    queued = [run for run in runs if run.name in queue and not run.finished]
    waiting = [run for run in runs if run.name not in queue and not run.finished]
    for some, where in ((finished, "finished"), (queued, "in the queue")):
        if some:
            print(f"{len(some)} of {len(runs)} runs are {where} already", flush=True)
    if not waiting:
        return 0
    executor = submitit.SlurmExecutor(folder / "slurm")
    executor.update_parameters(
        **{"job_name": None, "time": None, "wckey": None},  # submitit's own are given to no job
        array_parallelism=workers,
        setup=setup_lines(options),
        additional_parameters=all_options(folder, options),
    )
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # what it prints is in the error as well
            tasks = executor.map_array(work, waiting)
    except submitit.core.utils.FailedJobError as error:
        said = [line.removeprefix("sbatch: error: ") for line in str(error).splitlines()]
        raise UsageError(f"sbatch: {'; '.join(said)}") from error
    job = tasks[0].job_id.partition("_")[0]
    add_job(folder, job, [run.name for run in waiting])
    together = sum(count for run, count in zip(runs, steps, strict=True) if run in waiting)
    number = f"{len(waiting)} run{'s'[: len(waiting) > 1]}"
    print(f"job {job}: {number} submitted, {together} steps together")
    print(f"go on with launch.py --status --workdir={folder}, at the end --report", flush=True)
    return 0
