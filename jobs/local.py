"""Runs as processes of this machine, some at a time."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from jobs.record import log_exit
from jobs.run import Run, environment
from jobs.status import PREEMPTED, last_lines, last_step

POLL_SECONDS = 0.3
LINES_SHOWN = 5


@dataclass(frozen=True)
class Worker:
    """A run that goes on, and its share of the cores."""

    run: Run
    slot: int
    process: subprocess.Popen = field(repr=False)

    def wait(self) -> int:
        """Exit code once the run has ended; 128 + N when signal N ended it."""
        code = self.process.wait()
        return 128 - code if code < 0 else code


def run_all(runs: Sequence[Run], steps: Sequence[int], workers: int) -> int:
    """Run what is not finished, `workers` at a time; returns the exit code of the whole.

    That is 0; the runs' own when those that fail have the same, else 1; 75 after SIGINT or SIGTERM,
    with every run stopped and resumable.
    """
    waiting = [run for run in runs if not run.finished]
    if len(waiting) < len(runs):
        print(f"{len(runs) - len(waiting)} of {len(runs)} runs are finished already", flush=True)
    reached = dict(zip((run.name for run in runs), steps, strict=True))
    reached |= {run.name: last_step(run.workdir) for run in waiting}
    running: list[Worker] = []
    codes: set[int] = set()
    free = list(range(workers))
    live = bool(waiting) and sys.stderr.isatty()
    bar = tqdm(total=sum(steps), unit="step", dynamic_ncols=True, disable=not live)
    with _stop_signals() as stopped:
        try:
            while (waiting or running) and not stopped:
                while waiting and free:
                    running.append(start(waiting.pop(0), free.pop(0), workers))
                time.sleep(POLL_SECONDS)
                for worker in running:
                    reached[worker.run.name] = last_step(worker.run.workdir)
                show(bar, reached, running)
                for worker in [w for w in running if w.process.poll() is not None]:
                    running.remove(worker)
                    free.append(worker.slot)
                    bar.clear()
                    codes.add(tell_end(worker))
        finally:
            bar.close()
            stop(running)
    if stopped:
        return PREEMPTED
    codes -= {0}
    return 0 if not codes else codes.pop() if len(codes) == 1 else 1


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT; nothing is interrupted, so no process is started and forgotten.

    A signal that is ignored, as in the background of a shell, stays so.
    """
    stopped: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    heard = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    for number in heard:
        signal.signal(number, lambda number, _frame: stopped.append(number))
    try:
        yield stopped
    finally:
        for number in heard:
            signal.signal(number, before[number])


def start(run: Run, slot: int, workers: int) -> Worker:
    """Start a run; with several workers each gets its own share of the cores."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    share = cores[slot::workers] if 1 < workers <= len(cores) else []
    if share:  # a child has the affinity of the thread that starts it
        os.sched_setaffinity(0, share)
    # Ctrl-C reaches this process alone, which passes it on once
    process = open_process(run, own_session=True)
    if share:
        os.sched_setaffinity(0, cores)
    return Worker(run, slot, process)


def open_process(run: Run, own_session: bool) -> subprocess.Popen:
    """Open the process of a run, its output in the log.

    It holds a lock on the log as long as it lives: that tells others that it runs.
    """
    with open(run.log, "ab") as log:
        with contextlib.suppress(OSError):  # held already, or no locks in this file system
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return subprocess.Popen(
            run.command,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=own_session,
        )


def tell_end(worker: Worker) -> int:
    """Say how a run ended, a failure on stderr with its last lines; returns its exit code."""
    run, code = worker.run, worker.wait()
    log_exit(run.workdir.parent, run.name, code)
    if code:
        said = "".join(f"\n  {line}" for line in last_lines(run.log, LINES_SHOWN))
        print(f"error: {run.name}: exit {code}, the end of {run.log}:{said}", file=sys.stderr)
    else:
        print(f"{run.name}: finished", flush=True)
    return code


def stop(running: list[Worker]) -> None:
    """Tell every run that is still going to save and stop, and wait for it."""
    if running:
        print("stopping: every run is saved and goes on with the same command", flush=True)
    for worker in running:
        worker.process.send_signal(signal.SIGTERM)
    for worker in running:
        log_exit(worker.run.workdir.parent, worker.run.name, worker.wait())


def show(bar: tqdm, reached: dict[str, int], running: list[Worker]) -> None:
    """Bring the progress bar up to date."""
    bar.n = sum(reached.values())
    bar.set_postfix_str(" | ".join(f"{w.run.name} {reached[w.run.name]}" for w in running))
