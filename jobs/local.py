"""Runs as processes of this machine, a limited number at a time."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from jobs.locks import no_link, try_lock
from jobs.record import log_exit
from jobs.run import Run, environment, exit_code
from jobs.share import gpu_variables, own_cores
from jobs.status import PREEMPTED, is_running, last_lines, last_step

POLL_SECONDS = 0.3
TAIL_LINES = 5  # of the log of a failed run


@dataclass(frozen=True)
class Worker:
    """The process of a run; `slot` determines its share of the cores and GPUs."""

    run: Run
    slot: int
    process: subprocess.Popen = field(repr=False)


class Pool:
    """At most `workers` active runs; those of other launches count, but are not controlled."""

    def __init__(self, workers: int, elsewhere: Iterable[Run] = ()):
        self.workers = workers
        self.free_slots = list(range(workers))
        self.running: list[Worker] = []
        self.elsewhere = list(elsewhere)
        if self.elsewhere:
            count = len(self.elsewhere)
            runs = "run is" if count == 1 else "runs are"
            print(f"{count} {runs} still active from an earlier launch", flush=True)

    @property
    def runs(self) -> list[Run]:
        """All active runs."""
        return [*(worker.run for worker in self.running), *self.elsewhere]

    @property
    def full(self) -> bool:
        """True when no other run may be started."""
        return len(self.runs) >= self.workers

    def add(self, run: Run) -> None:
        """Start a run, or wait for it if another launch is running it or has finished it."""
        busy = is_running(run.workdir) or run.finished  # in this order: it may be ending
        worker = None if busy else start(run, self.free_slots[0], self.workers)
        if worker:
            self.free_slots.remove(worker.slot)
            self.running.append(worker)
        else:
            self.elsewhere.append(run)

    def ended(self) -> list[tuple[Run, int | None]]:
        """Runs that have ended since the last call, with their exit codes.

        The code of a run of another launch is 0 if it is finished, else None: it may be added.
        """
        ended: list[tuple[Run, int | None]] = []
        for worker in [w for w in self.running if w.process.poll() is not None]:
            self.running.remove(worker)
            self.free_slots.append(worker.slot)
            ended.append((worker.run, exit_code(worker.process.returncode)))
        for run in [run for run in self.elsewhere if not is_running(run.workdir)]:
            self.elsewhere.remove(run)
            ended.append((run, 0 if run.finished else None))
        for run, code in ended:
            if code is not None:
                log_exit(run.workdir.parent, run.name, code)
        return ended

    def terminate(self, run: Run) -> None:
        """Tell a run to save and stop, if this launch started it."""
        for worker in self.running:
            if worker.run == run:
                worker.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Tell every run of this launch to save and stop, and wait for it."""
        for worker in self.running:
            worker.process.send_signal(signal.SIGTERM)
        try:
            if self.running:
                print(
                    "stopping: the runs are being saved; run the same command to continue",
                    flush=True,
                )
            if self.elsewhere:
                names = ", ".join(run.name for run in self.elsewhere)
                print(f"not stopped, since another launch started them: {names}", flush=True)
        finally:  # even when the output is no longer read
            for worker in self.running:
                code = exit_code(worker.process.wait())
                log_exit(worker.run.workdir.parent, worker.run.name, code)


def run_all(runs: Sequence[Run], steps: Sequence[int], workers: int) -> int:
    """Run all unfinished runs, `workers` at a time; return the exit code of the launch.

    That is 0 if all succeed; the code of the failed runs if it is the same for all of them, else 1;
    75 after SIGINT, SIGTERM or SIGHUP, with every run stopped and resumable.
    """
    waiting = [run for run in runs if not run.finished]
    if len(waiting) < len(runs):
        print(f"{len(runs) - len(waiting)} of {len(runs)} runs are already finished", flush=True)
    pool = Pool(workers, [run for run in waiting if is_running(run.workdir)])
    waiting = [run for run in waiting if run not in pool.elsewhere]
    progress = dict(zip((run.name for run in runs), steps, strict=True))
    progress |= {run.name: last_step(run.workdir) for run in (*waiting, *pool.runs)}
    codes: set[int] = set()
    visible = bool(waiting or pool.runs) and sys.stderr.isatty()
    bar = tqdm(total=sum(steps), unit="step", dynamic_ncols=True, disable=not visible)
    with stop_signals() as received:
        try:
            while (waiting or pool.runs) and not received:
                while waiting and not pool.full:
                    pool.add(waiting.pop(0))
                time.sleep(POLL_SECONDS)
                progress |= {run.name: last_step(run.workdir) for run in pool.runs}
                update_bar(bar, progress, pool.runs)
                for run, code in pool.ended():
                    bar.clear()
                    if code is None:
                        waiting.append(run)
                    else:
                        print_end(run, code)
                        codes.add(code)
        finally:
            try:
                bar.close()
            finally:
                pool.stop()
    if received:
        return PREEMPTED
    codes -= {0}
    return 0 if not codes else codes.pop() if len(codes) == 1 else 1


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect SIGTERM, SIGHUP and SIGINT without interrupting anything: no process is orphaned.

    A signal that is ignored, as in the background of a shell or by nohup, stays ignored.
    """
    received: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    handled = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    for number in handled:
        signal.signal(number, lambda number, _frame: received.append(number))
    try:
        yield received
    finally:
        for number in handled:
            signal.signal(number, before[number])


def start(run: Run, slot: int, workers: int) -> Worker | None:
    """Start a run; several workers get separate shares of the cores and of the GPUs.

    Returns None when another process is running it.
    """
    with own_cores(slot, workers):
        # only this process receives Ctrl-C, and passes it on once
        process = open_process(run, own_session=True, **gpu_variables(slot, workers))
    return Worker(run, slot, process) if process else None


def open_process(run: Run, own_session: bool, **variables: str) -> subprocess.Popen | None:
    """Open the process of a run, with its output in the log; None when another process runs it.

    The process holds a lock on the log while it lives, which shows others that it is running.
    `variables` are added to its environment.
    """
    with open(run.log, "ab", opener=no_link) as log:
        if not try_lock(log):
            return None
        return subprocess.Popen(
            run.command,
            env={**environment(), **variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=own_session,
        )


def print_end(run: Run, code: int) -> None:
    """Print how a run ended; a failure goes to stderr with the last lines of the log."""
    if code:
        tail = "".join(f"\n  {line}" for line in last_lines(run.log, TAIL_LINES))
        print(f"error: {run.name}: exit {code}; last lines of {run.log}:{tail}", file=sys.stderr)
    else:
        print(f"{run.name}: finished", flush=True)


def update_bar(bar: tqdm, progress: dict[str, int], running: Iterable[Run]) -> None:
    """Update the progress bar. progress: last step of each run by its name."""
    bar.n = sum(progress.values())
    bar.set_postfix_str(" | ".join(f"{run.name} {progress[run.name]}" for run in running))
