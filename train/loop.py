"""The loop. At each step: evaluate, draw, save, next batch, step, log, in this order."""

import collections
import contextlib
import math
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grain
import jax

from train.checkpoint import Checkpoints, best_first, restore_latest
from train.config import Config
from train.evaluate import Evaluator, Predictor
from train.metrics import Metrics, final_metrics, save_figures
from train.parallel import MODES, JitMesh
from train.rundir import log_attempt, open_run, seconds_trained, write_json
from train.state import TrainState
from train.step import Window
from train.task import Experiment

# batch systems warn with one of the first three before they kill; Ctrl-C is the last
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
IN_FLIGHT = 2  # steps handed to the device ahead of the one it works on


class NonFiniteError(ArithmeticError):
    """The loss or its gradient is not a finite number any more."""

    exit_code = 3


class PreemptedError(Exception):
    """The process was told to stop; the run is saved and goes on with the same command."""

    exit_code = 75


def fit(experiment: Experiment, config: Config, workdir: Path) -> dict[str, Any]:
    """Train in `workdir` to the end, from the latest checkpoint there if there is one.

    Returns the contents of result.json. Raises NonFiniteError; PreemptedError after one of
    STOP_SIGNALS, with a checkpoint saved; ConfigError before anything is trained.
    """
    devices = MODES[config.parallel](config.batch_size)
    with open_run(workdir, config, experiment.provenance), _stop_signals() as stopped:
        began, end = time.perf_counter(), "finished"
        state, empty = devices.init(experiment, config.seed, experiment.train(0))
        warn = partial(print, "warning:", flush=True)
        restored = restore_latest(workdir / "checkpoints", state, empty, warn)
        state, window = restored or (state, empty)
        held = int(state.step) if restored else -1
        metrics = Metrics(workdir, held, config.steps)
        about = ", ".join(f"{name} {value}" for name, value in experiment.provenance.items())
        print(f"data: {about}", flush=True)
        log_attempt(workdir, "start", max(held, 0))
        checkpoints = Checkpoints(workdir / "checkpoints")
        attempt = _Attempt(experiment, config, workdir, devices, checkpoints, metrics, held)
        try:
            attempt.run(state, window, empty, stopped)
        except BaseException as error:
            end = type(error).__name__
            raise
        finally:
            checkpoints.close()
            metrics.close()
            seconds = round(time.perf_counter() - began, 2)
            log_attempt(workdir, end, attempt.step, seconds=seconds)
        return _write_result(experiment, config, workdir)


@dataclass
class _Attempt:
    """The loop with what it writes to. held: step of the checkpoint it starts from, -1: none."""

    experiment: Experiment
    config: Config
    workdir: Path
    devices: JitMesh
    checkpoints: Checkpoints
    metrics: Metrics
    held: int

    def __post_init__(self):
        self.step = max(self.held, 0)  # the number of steps taken so far
        self.evaluator = Evaluator(self.experiment.task, self.devices)
        self.drawn_at = {round(part * self.config.steps) for part in self.config.figures_at}

    def run(self, state: TrainState, window: Window, empty: Window, stopped: list[int]) -> None:
        """Go from `state` to the last step.

        empty: what the window is after each line of the log. stopped: holds a signal's number once
        one has come.
        """
        config, devices = self.config, self.devices
        train_step = devices.compile(self.experiment)
        # no thread of its own: the loop is ahead of the device, and on a CPU one made it slower
        options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
        dataset = grain.MapDataset.range(self.step, config.steps).map(self.experiment.train)
        batches = iter(dataset.to_iter_dataset(options))
        state, window, empty = devices.spread(state), devices.copy(window), devices.copy(empty)
        in_flight: collections.deque[Window] = collections.deque()
        while True:
            stopping = bool(stopped)  # looked at once: what is said to be saved is saved
            if self.step > self.held:  # all this was done before that checkpoint was saved
                self._hold(state, window, stopping)
            if stopping:
                name = signal.Signals(stopped[0]).name
                raise PreemptedError(
                    f"stopped by {name}, saved at step {self.step}; the same command goes on"
                )
            if self.step == config.steps:
                return
            state, window = train_step(state, window, devices.put_batch(next(batches)))
            self.step += 1
            self.metrics.bar.update()
            in_flight.append(window)
            if len(in_flight) > IN_FLIGHT:
                jax.block_until_ready(in_flight.popleft())
            if self.step % config.log_every == 0 or self.step == config.steps:
                self._log(devices.one(window))
                window = empty

    def _hold(self, state: TrainState, window: Window, stopping: bool) -> None:
        """Evaluate, draw and save, whichever is due."""
        last = self.step == self.config.steps
        evaluate = last or self.step % self.config.eval_every == 0
        draw = self.step in self.drawn_at
        save = evaluate or stopping or self.step % self.config.save_every == 0
        if not (draw or save):
            return
        state, window = self.devices.gather(state), self.devices.one(window)
        self._check_finite(window)
        objective = self._evaluate(state, all_sets=last) if evaluate else math.inf
        if draw:
            predict = Predictor(state.variables, self.evaluator)
            sets = list(self.experiment.evals.values())  # the last is not looked at before the end
            figures = self.experiment.task.figures(predict, sets[-1] if last else sets[0])
            save_figures(self.workdir, self.step, figures)
        if save:
            self.checkpoints.save(self.step, state, window, objective)

    def _evaluate(self, state: TrainState, all_sets: bool) -> float:
        """Evaluate the first set, at the end every set; returns the loss of the first."""
        sets = list(self.experiment.evals.items())
        losses = []
        for name, batches in sets if all_sets else sets[:1]:
            values = self.evaluator(state.variables, batches)
            if not math.isfinite(values["loss"]):
                raise NonFiniteError(
                    f"{name}/loss is {values['loss']} at step {self.step}; "
                    "the last good checkpoint is kept"
                )
            self.metrics.write(self.step, name, values)
            losses.append(values["loss"])
        return losses[0]

    def _log(self, window: Window) -> None:
        """Fetch the window and write its means."""
        self._check_finite(window)
        means = {name: float(m.value) for name, m in jax.device_get(window.means).items()}
        self.metrics.write(self.step, "train", means)
        self.metrics.speed(self.step)

    def _check_finite(self, window: Window) -> None:
        bad = int(window.bad_step)
        if bad >= 0:
            raise NonFiniteError(
                f"loss or gradient is not finite at step {bad}; the last good checkpoint is kept"
            )


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect STOP_SIGNALS; a second Ctrl-C acts as if this were not here.

    A second SIGTERM is as good as the first: batch systems send it to every process of a job, and
    it must not end the saving that the first began.
    """
    stopped: list[int] = []
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def stop(number, _frame):
        stopped.append(number)
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_result(experiment: Experiment, config: Config, workdir: Path) -> dict[str, Any]:
    """Write result.json, the mark of a finished run, from what is on the disk."""
    seconds, attempts = seconds_trained(workdir)
    names = list(experiment.evals)
    result = {
        "step": config.steps,
        "headline": f"{names[-1]}/{experiment.task.headline}",
        "curve": f"{names[0]}/{experiment.task.headline}",
        "objective": f"{names[0]}/loss",
        "metrics": final_metrics(workdir, config.steps),
        "best_step": best_first(workdir / "checkpoints")[0],
        "seconds": seconds,
        "attempts": attempts,
    }
    write_json(workdir / "result.json", result)
    return result
