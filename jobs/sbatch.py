"""A sweep as a script for Slurm's sbatch: one array job, a run a task."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobs.run import Run, python_path

OPTIONS = (  # of sbatch, - written _; launch.py has a flag --slurm_* for each
    *("account", "begin", "comment", "constraint", "cpus_per_gpu", "cpus_per_task", "dependency"),
    *("exclude", "gpus", "gpus_per_node", "gpus_per_task", "gres", "job_name", "licenses"),
    *("mail_type", "mail_user", "mem", "mem_per_cpu", "mem_per_gpu", "nice", "nodelist"),
    *("partition", "qos", "reservation", "signal", "time"),
)
END = "END_OF_SCRIPT"


def all_options(folder: Path, options: Mapping[str, str]) -> dict[str, str | bool]:
    """Options of sbatch for a sweep: ours, and those given, which win.

    USR1 comes 90 seconds before the time limit, to the run and not to the script's shell.
    """
    ours = {"job-name": folder.name, "chdir": os.getcwd(), "signal": "USR1@90"}
    given = {name.replace("_", "-"): value for name, value in options.items()}
    return {"open-mode": "append", "requeue": True, **ours, **given}


def setup_lines(options: Mapping[str, str]) -> list[str]:
    """Lines of the script before the run: the project is found, and srun has all the CPUs."""
    variables = {"PYTHONPATH": python_path()}
    if "cpus_per_task" in options:  # which srun does not take over from sbatch by itself
        variables["SRUN_CPUS_PER_TASK"] = options["cpus_per_task"]
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def sbatch_script(
    folder: Path, runs: Sequence[Run], options: Mapping[str, str], at_once: int
) -> str:
    """Script that makes the runs, `at_once` at a time, as plain sbatch takes it."""
    array = {"array": f"0-{len(runs) - 1}%{at_once}", "output": str(folder / "slurm" / "%A_%a.log")}
    lines = ["#!/bin/bash"]
    for name, value in {**array, **all_options(folder, options)}.items():
        lines.append(f"#SBATCH --{name}" + ("" if value is True else f"={shlex.quote(str(value))}"))
    lines += [*setup_lines(options), "case $SLURM_ARRAY_TASK_ID in"]
    for i, run in enumerate(runs):
        lines.append(f"  {i}) run=({shlex.join([str(run.workdir), *run.command])}) ;;")
    worker = shlex.join([sys.executable, "-m", "jobs.task"])
    return "\n".join([*lines, "esac", f'srun {worker} "${{run[@]}}"', ""])


def write_lines(folder: Path, script: str) -> str:
    """Lines for a shell that write the script below `folder`; they submit nothing."""
    path = shlex.quote(str(folder / "slurm" / "sweep.sbatch"))
    parent = shlex.quote(str(folder / "slurm"))
    return (
        f"# in place of the commands above, on Slurm: write this script, then sbatch {path}\n"
        f"mkdir -p {parent} && cat > {path} <<'{END}'\n{script}{END}"
    )
