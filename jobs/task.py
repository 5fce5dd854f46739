"""One run as a task of a Slurm job: it saves when Slurm warns, and goes back into the queue.

srun python -m jobs.task WORKDIR COMMAND...
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from jobs.local import POLL_SECONDS, open_process
from jobs.record import log_exit
from jobs.run import Run, exit_code
from jobs.status import PREEMPTED

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
KILL_SECONDS = 600  # far longer than Slurm takes to end a job that it requeues


def work(run: Run) -> None:
    """Make a run, its signals handed on; ends this process with the exit code of the run.

    A run that was stopped goes back into the queue.
    """
    heard: list[int] = []
    for number in SIGNALS:
        signal.signal(number, lambda number, _frame: heard.append(number))
    # in the session of this process, or Slurm might not find it when it kills the job
    process = open_process(run, own_session=False)
    if process is None:  # one who asks for its state holds it for an instant
        time.sleep(POLL_SECONDS)
        process = open_process(run, own_session=False)
    if process is None:
        sys.exit(f"error: {run.name}: another process has it in hand")
    told = 0
    while process.poll() is None:
        while told < len(heard):
            process.send_signal(heard[told])
            told += 1
        time.sleep(POLL_SECONDS)
    code = exit_code(process.returncode)
    if code - 128 in heard:  # too early to have anything to save
        code = PREEMPTED
    log_exit(run.workdir.parent, run.name, code)
    print(f"{run.name}: exit {code}", flush=True)
    if code == PREEMPTED:
        requeue(job_id())
    sys.exit(code)


def job_id() -> str:
    """Id of the job of this process; of its own part of an array, not of the whole array."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array:
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ["SLURM_JOB_ID"]


def requeue(job: str) -> None:
    """Put a job back into the queue and wait to be ended; return at once when that cannot be.

    A job that Slurm is ending already is left alone: requeued, even a cancelled one comes back.
    """
    words = ["squeue", "--noheader", f"--jobs={job}", "--format=%T"]
    state = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    if state != "RUNNING":
        print(f"job {job} is {state or 'unknown'}: not requeued", flush=True)
        return
    if subprocess.run(["scontrol", "requeue", job], check=False).returncode == 0:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        print(f"job {job} is requeued", flush=True)
        time.sleep(KILL_SECONDS)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    work(Run(folder.name, (), folder, tuple(sys.argv[2:])))
