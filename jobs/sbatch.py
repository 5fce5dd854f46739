"""A sweep as a script for Slurm's sbatch: one array job with one run per task."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobs.run import Run, join, quote, variables
from jobs.sweep import UsageError

OPTIONS = (  # of sbatch, with _ for -; launch.py has a flag --slurm_* for each
    *("account", "begin", "comment", "constraint", "cpus_per_gpu", "cpus_per_task", "dependency"),
    *("exclude", "gpus", "gpus_per_node", "gpus_per_task", "gres", "job_name", "licenses"),
    *("mail_type", "mail_user", "mem", "mem_per_cpu", "mem_per_gpu", "nice", "nodelist"),
    *("partition", "qos", "reservation", "signal", "time"),
)
END = "END_OF_SCRIPT"


def all_options(folder: Path, options: Mapping[str, str]) -> dict[str, str | bool]:
    """Options of sbatch for a sweep: our defaults, overridden by `options`.

    USR1 is sent 90 seconds before the time limit, to the run and not to the script's shell.
    """
    defaults = {"job-name": folder.name, "chdir": os.getcwd(), "signal": "USR1@90"}
    overrides = {name.replace("_", "-"): value for name, value in options.items()}
    return {"open-mode": "append", "requeue": True, **defaults, **overrides}


def setup_lines(options: Mapping[str, str]) -> list[str]:
    """Lines of the script before the run: they make the project importable and set srun's CPUs."""
    exported = variables()
    if "cpus_per_task" in options:  # srun does not inherit it from sbatch
        exported["SRUN_CPUS_PER_TASK"] = options["cpus_per_task"]
    return [f"export {name}={quote(value)}" for name, value in exported.items()]


def sbatch_script(
    folder: Path, runs: Sequence[Run], options: Mapping[str, str], workers: int
) -> str:
    """Script for plain sbatch that executes the runs, `workers` at a time.

    Raises UsageError when an option has a control character, which cannot be quoted in a line of
    #SBATCH.
    """
    array = {"array": f"0-{len(runs) - 1}%{workers}", "output": str(folder / "slurm" / "%A_%a.log")}
    lines = ["#!/bin/bash"]
    for name, value in {**array, **all_options(folder, options)}.items():
        if not str(value).isprintable():
            raise UsageError(f"option --{name} of sbatch has a control character: {value!r}")
        lines.append(f"#SBATCH --{name}" + ("" if value is True else f"={shlex.quote(str(value))}"))
    lines += [*setup_lines(options), "case $SLURM_ARRAY_TASK_ID in"]
    for i, run in enumerate(runs):
        lines.append(f"  {i}) run=({join([str(run.workdir), *run.command])}) ;;")
    task = join([sys.executable, "-m", "jobs.task"])
    return "\n".join([*lines, "esac", f'srun {task} "${{run[@]}}"', ""])


def write_lines(folder: Path, script: str) -> str:
    """Shell lines that write the script below `folder`; they submit nothing."""
    path = quote(str(folder / "slurm" / "sweep.sbatch"))
    parent = quote(str(folder / "slurm"))
    return (
        f"# on Slurm, instead of the commands above: write this script, then run sbatch {path}\n"
        f"mkdir -p {parent} && cat > {path} <<'{END}'\n{script}{END}"
    )
