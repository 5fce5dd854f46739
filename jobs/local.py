"""Runs as processes of this machine, some at a time."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from jobs.locks import try_lock
from jobs.record import log_exit
from jobs.run import Run, environment, exit_code
from jobs.share import gpu_variables, own_cores
from jobs.status import PREEMPTED, is_running, last_lines, last_step

POLL_SECONDS = 0.3
LINES_SHOWN = 5


@dataclass(frozen=True)
class Worker:
    """A run that goes on, and its share of the cores."""

    run: Run
    slot: int
    process: subprocess.Popen = field(repr=False)


class Pool:
    """Runs that go on, `workers` at a time; those of another launch are left to it, and counted."""

    def __init__(self, workers: int, elsewhere: Iterable[Run] = ()):
        self.workers = workers
        self.free = list(range(workers))
        self.running: list[Worker] = []
        self.elsewhere = list(elsewhere)
        if self.elsewhere:
            count = len(self.elsewhere)
            going = "run goes" if count == 1 else "runs go"
            print(f"{count} {going} on from an earlier launch", flush=True)

    @property
    def runs(self) -> list[Run]:
        """All runs that go on."""
        return [*(worker.run for worker in self.running), *self.elsewhere]

    @property
    def full(self) -> bool:
        """True when no other run may be started."""
        return len(self.runs) >= self.workers

    def add(self, run: Run) -> None:
        """Start a run; or wait for it, where another launch has it in hand or has finished it."""
        busy = is_running(run.workdir) or run.finished  # in this order: it may be ending
        worker = None if busy else start(run, self.free[0], self.workers)
        if worker:
            self.free.remove(worker.slot)
            self.running.append(worker)
        else:
            self.elsewhere.append(run)

    def ended(self) -> list[tuple[Run, int | None]]:
        """Runs that have ended since, and their exit codes.

        The code of a run of another launch is 0 when it is finished, else None: it may be added.
        """
        found: list[tuple[Run, int | None]] = []
        for worker in [w for w in self.running if w.process.poll() is not None]:
            self.running.remove(worker)
            self.free.append(worker.slot)
            found.append((worker.run, exit_code(worker.process.returncode)))
        for run in [run for run in self.elsewhere if not is_running(run.workdir)]:
            self.elsewhere.remove(run)
            found.append((run, 0 if run.finished else None))
        for run, code in found:
            if code is not None:
                log_exit(run.workdir.parent, run.name, code)
        return found

    def terminate(self, run: Run) -> None:
        """Tell a run to save and stop, if it is one of this launch."""
        for worker in self.running:
            if worker.run == run:
                worker.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Tell every run of this launch to save and stop, and wait for it."""
        if self.running:
            print("stopping: every run is saved and goes on with the same command", flush=True)
        if self.elsewhere:
            names = ", ".join(run.name for run in self.elsewhere)
            print(f"left to the launch that started them: {names}", flush=True)
        for worker in self.running:
            worker.process.send_signal(signal.SIGTERM)
        for worker in self.running:
            log_exit(worker.run.workdir.parent, worker.run.name, exit_code(worker.process.wait()))


def run_all(runs: Sequence[Run], steps: Sequence[int], workers: int) -> int:
    """Run what is not finished, `workers` at a time; returns the exit code of the whole.

    That is 0; the runs' own when those that fail have the same, else 1; 75 after SIGINT or SIGTERM,
    with every run stopped and resumable.
    """
    waiting = [run for run in runs if not run.finished]
    if len(waiting) < len(runs):
        print(f"{len(runs) - len(waiting)} of {len(runs)} runs are finished already", flush=True)
    pool = Pool(workers, [run for run in waiting if is_running(run.workdir)])
    waiting = [run for run in waiting if run not in pool.elsewhere]
    reached = dict(zip((run.name for run in runs), steps, strict=True))
    reached |= {run.name: last_step(run.workdir) for run in (*waiting, *pool.runs)}
    codes: set[int] = set()
    live = bool(waiting or pool.runs) and sys.stderr.isatty()
    bar = tqdm(total=sum(steps), unit="step", dynamic_ncols=True, disable=not live)
    with stop_signals() as stopped:
        try:
            while (waiting or pool.runs) and not stopped:
                while waiting and not pool.full:
                    pool.add(waiting.pop(0))
                time.sleep(POLL_SECONDS)
                reached |= {run.name: last_step(run.workdir) for run in pool.runs}
                show(bar, reached, pool.runs)
                for run, code in pool.ended():
                    bar.clear()
                    if code is None:
                        waiting.append(run)
                    else:
                        tell_end(run, code)
                        codes.add(code)
        finally:
            bar.close()
            pool.stop()
    if stopped:
        return PREEMPTED
    codes -= {0}
    return 0 if not codes else codes.pop() if len(codes) == 1 else 1


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
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


def start(run: Run, slot: int, workers: int) -> Worker | None:
    """Start a run; with several workers each gets its own share of the cores and of the GPUs.

    None when another process has it in hand.
    """
    with own_cores(slot, workers):
        # Ctrl-C reaches this process alone, which passes it on once
        process = open_process(run, own_session=True, **gpu_variables(slot, workers))
    return Worker(run, slot, process) if process else None


def open_process(run: Run, own_session: bool, **variables: str) -> subprocess.Popen | None:
    """Open the process of a run, its output in the log; None when another process has it in hand.

    It holds a lock on the log as long as it lives: that tells others that it runs. `variables` are
    added to its environment.
    """
    with open(run.log, "ab") as log:
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


def tell_end(run: Run, code: int) -> None:
    """Say how a run ended, a failure on stderr with its last lines."""
    if code:
        said = "".join(f"\n  {line}" for line in last_lines(run.log, LINES_SHOWN))
        print(f"error: {run.name}: exit {code}, the end of {run.log}:{said}", file=sys.stderr)
    else:
        print(f"{run.name}: finished", flush=True)


def show(bar: tqdm, reached: dict[str, int], running: Iterable[Run]) -> None:
    """Bring the progress bar up to date."""
    bar.n = sum(reached.values())
    bar.set_postfix_str(" | ".join(f"{run.name} {reached[run.name]}" for run in running))
