"""The loop. At each step: evaluate, draw, save, next batch, step, log, in this order."""

import collections
import contextlib
import math
import os
import signal
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
from tqdm import tqdm

from .checkpoint import restore_latest
from .config import RunConfig
from .distributed import must_stop, writable
from .evaluate import Evaluator
from .placement import MODES, Canonical, JitMesh
from .recorder import Member, NonFiniteError, Run
from .rundir import check_data, open_run
from .state import TrainState
from .step import Window
from .task import Experiment

# batch systems warn with one of the first three before they kill; Ctrl-C is the last
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
IN_FLIGHT = 2  # steps handed to the device ahead of the one it works on


class PreemptedError(Exception):
    """The process was told to stop; the run is saved and goes on with the same command."""

    exit_code = 75


def fit(experiment: Experiment, config: RunConfig, workdir: Path) -> dict[str, Any]:
    """Train in `workdir` to the end, from the latest checkpoint there if there is one.

    Returns the contents of result.json. Raises NonFiniteError; PreemptedError after one of
    STOP_SIGNALS, with a checkpoint saved; ConfigError before anything is trained.
    """
    return fit_all([Run(experiment, config, workdir)], MODES[config.parallel](config.batch_size))[0]


def fit_all(runs: Sequence[Run], devices: JitMesh) -> list[dict[str, Any]]:
    """`fit` for runs that take each step together: alike but for seed, scores and folder.

    The numbers of the optimizer that differ are in `devices`, in the order of the runs. The seconds
    of the program are shared out. A run that is not finite any more does not stop the others: its
    error is raised after the end.
    """
    experiment = runs[0].experiment
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(writable(run.workdir)) for run in runs]
        for run, folder in zip(runs, folders, strict=True):
            check_data(run.workdir, run.experiment.provenance)
            stack.enter_context(open_run(folder, run.config, run.experiment.provenance))
        stopped = stack.enter_context(_stop_signals())
        began, end = time.perf_counter(), "finished"
        make = devices.initializer(experiment, experiment.train(0))
        fresh = [make(run.config.seed) for run in runs]
        empty = fresh[0][1]
        warn = partial(print, "warning:", flush=True)
        restored = restore_latest([run.workdir / "checkpoints" for run in runs], fresh, warn)
        held = int(restored[0][0].step) if restored else -1
        begin = restored or fresh
        del restored, fresh  # they would stay in the memory of the device
        about = ", ".join(f"{name} {value}" for name, value in experiment.provenance.items())
        print(f"data: {about}", flush=True)
        evaluator = Evaluator(experiment.task, devices)
        members = [
            Member(run, folder, evaluator.of(run.experiment.task), held, names)
            for run, folder, names in zip(runs, folders, _names(runs), strict=True)
        ]
        # None: no bar where there is no terminal
        hidden = True if jax.process_index() else None
        shown = {"total": runs[0].config.steps, "initial": max(held, 0), "unit": "step"}
        bar = stack.enter_context(tqdm(**shown, disable=hidden, dynamic_ncols=True))
        loop = _Loop(members, devices, held, bar)
        try:
            loop.run(begin, empty, stopped)
        except BaseException as error:
            end = type(error).__name__
            raise
        finally:
            share = round((time.perf_counter() - began) / len(members), 2)
            with contextlib.ExitStack() as closing:  # all are closed, also when one cannot be
                for member in members:
                    closing.callback(member.close, end, loop.step, share)
        results = [member.write_result() for member in members if not member.lost]
        for member in members:
            if member.lost:
                raise member.lost
        return results


def _names(runs: Sequence[Run]) -> list[str]:
    """What tells the lines of several runs apart."""
    return [run.workdir.name if len(runs) > 1 else "" for run in runs]


class _Loop:
    """The steps of the members, from the one after `held` (-1: the start)."""

    def __init__(self, members: Sequence[Member], devices: JitMesh, held: int, bar: tqdm):
        self.members, self.devices, self.held, self.bar = members, devices, held, bar
        self.config: RunConfig = members[
            0
        ].run.config  # what it has of the steps is the same in all
        self.step = max(held, 0)  # the number of steps taken so far
        self.drawn_at = {round(part * self.config.steps) for part in self.config.figures_at}

    def run(self, begin: list[Canonical], empty: Window, stopped: list[int]) -> None:
        """Go from state and window of each member to the last step; `begin` is emptied.

        empty: what a window is after each line of the log. stopped: holds a signal's number once
        one has come.
        """
        config, devices, count = self.config, self.devices, len(self.members)
        train_step = devices.compile(self.members[0].run.experiment)
        # no thread of its own: the loop is ahead of the device, and on a CPU one made it slower
        options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
        dataset = grain.MapDataset.range(self.step, config.steps).map(self._batches)
        batches = iter(dataset.to_iter_dataset(options))
        state = devices.spread([state for state, _ in begin])
        window = devices.copy([window for _, window in begin])
        begin.clear()
        empty = devices.copy([empty] * count)
        in_flight: collections.deque[Window] = collections.deque()
        while True:
            stopping = must_stop(stopped, self.step)  # asked once: what is said to be saved is
            if self.step > self.held:  # all this was done before that checkpoint was saved
                self._hold(state, window, stopping)
            if stopping:
                name = signal.Signals(stopped[0]).name if stopped else "a signal to a process"
                raise PreemptedError(
                    f"stopped by {name}, saved at step {self.step}; the same command goes on"
                )
            if self.step == config.steps:
                return
            state, window = train_step(state, window, devices.put_batch(next(batches)))
            self.step += 1
            self.bar.update()
            in_flight.append(window)
            if len(in_flight) > IN_FLIGHT:
                jax.block_until_ready(in_flight.popleft())
            if self.step % config.log_every == 0 or self.step == config.steps:
                self._log(window)
                window = empty

    def _batches(self, step: int) -> list:
        return [member.run.experiment.train(step) for member in self.members]

    def _hold(self, state: TrainState, window: Window, stopping: bool) -> None:
        """Evaluate, draw and save, whichever is due."""
        last = self.step == self.config.steps
        evaluate = last or self.step % self.config.eval_every == 0
        draw = self.step in self.drawn_at
        save = evaluate or stopping or self.step % self.config.save_every == 0
        if not (draw or save):
            return
        states, windows = self.devices.gather(state), self.devices.one(window)
        objectives = [math.inf] * len(self.members)
        for i, (member, own, seen) in enumerate(zip(self.members, states, windows, strict=True)):
            if not member.lost:
                with self._losing(member):
                    member.check_finite(seen)
                    if evaluate:
                        objectives[i] = member.evaluate(self.step, own)
                    if draw:
                        member.draw(self.step, own)
        if save:
            self._save(states, windows, objectives, last)

    def _save(self, states: Sequence[TrainState], windows: Sequence[Window], objectives, last):
        """Save every member, so that all go on from the same step; a lost one but at the end."""
        for member in self.members:  # no step is dropped before all have the next one
            member.checkpoints.wait()
        for member, own, seen, objective in zip(
            self.members, states, windows, objectives, strict=True
        ):
            if not member.lost:
                member.checkpoints.save(self.step, own, seen, objective)
            elif not last:  # so that it is lost again when it is restored
                marked = seen.replace(bad_step=jnp.full_like(seen.bad_step, self.step))
                member.checkpoints.save(self.step, own, marked, objective)

    def _log(self, window: Window) -> None:
        """Fetch the windows and write their means."""
        windows = jax.device_get(self.devices.one(window))
        for member, seen in zip(self.members, windows, strict=True):
            if not member.lost:
                with self._losing(member):
                    member.log(self.step, seen)

    @contextlib.contextmanager
    def _losing(self, member: Member) -> Iterator[None]:
        """Go on without a member that is not finite any more; raise when it was the last."""
        try:
            yield
        except NonFiniteError as error:
            member.lost = error
            if all(other.lost for other in self.members):
                raise
            tqdm.write(f"{member.metrics.name}: {error}; the other runs go on")


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect STOP_SIGNALS; a second Ctrl-C acts as if this were not here.

    A second SIGTERM is as good as the first: batch systems send it to every process of a job, and
    it must not end the saving that the first began. With several processes JAX listens to SIGTERM
    and tells them all, so the other signals are passed on as that one.
    """
    stopped: list[int] = []
    several = jax.process_count() > 1
    heard = [number for number in STOP_SIGNALS if not (several and number == signal.SIGTERM)]
    before = {number: signal.getsignal(number) for number in heard}

    def stop(number, _frame):
        if several:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            stopped.append(number)
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    for number in heard:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
