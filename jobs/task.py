"""One run as a task of a job: it saves when it is warned, and a job of Slurm is then requeued.

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

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
KILL_SECONDS = 600  # far longer than Slurm takes to end a job that it requeues


def work(run: Run) -> None:
    """Run a run, passing signals on to it; exit with its exit code.

    The job of a run that was stopped is requeued; Kubernetes does so by itself.
    """
    received: list[int] = []
    for number in SIGNALS:
        signal.signal(number, lambda number, _frame: received.append(number))
    # in the session of this process, or Slurm might not find it when it kills the job
    process = open_process(run, own_session=False)
    if process is None:  # a status query holds the lock for an instant
        time.sleep(POLL_SECONDS)
        process = open_process(run, own_session=False)
    if process is None:
        sys.exit(f"error: {run.name}: another process is running it")
    forwarded = 0
    while process.poll() is None:
        while forwarded < len(received):
            process.send_signal(received[forwarded])
            forwarded += 1
        time.sleep(POLL_SECONDS)
    code = exit_code(process.returncode)
    if code - 128 in received:  # stopped before it had anything to save
        code = PREEMPTED
    log_exit(run.workdir.parent, run.name, code)
    print(f"{run.name}: exit {code}", flush=True)
    if code == PREEMPTED and "SLURM_JOB_ID" in os.environ:
        requeue(job_id())
    sys.exit(code)


def job_id() -> str:
    """Id of the job of this process; in an array, that of its task."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array:
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ["SLURM_JOB_ID"]


def requeue(job: str) -> None:
    """Requeue a job and wait for Slurm to end this process; return if it cannot be requeued.

    A job that is already ending is left alone: when requeued, even a cancelled job comes back.
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
