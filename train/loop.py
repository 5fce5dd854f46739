"""The training loop. At each step: evaluate, draw, save, next batch, step, log, in this order."""

import collections
import contextlib
import math
import os
import signal
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from .accumulate import check_parts
from .checkpoint import restore_latest
from .config import RunConfig
from .distributed import should_stop, writable
from .evaluate import Evaluator
from .placement import JitMesh, put
from .profiling import Profiler
from .recorder import NonFiniteError, Recorder, Run
from .rundir import check_data, locked_run, write_assets
from .state import TrainState
from .step import Canonical, MetricWindow
from .task import Batch, Experiment
from .transfer import initial_variables, with_pretrained

# batch systems warn with one of the first three before they kill; Ctrl-C is the last
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
IN_FLIGHT = 2  # steps queued behind the one that the device computes


class PreemptedError(Exception):
    """A signal stopped the process; the run is saved, and the same command continues it."""

    exit_code = 75


def fit(experiment: Experiment, config: RunConfig, workdir: Path) -> dict[str, Any]:
    """Train in `workdir` to the last step, from the latest checkpoint there if there is one.

    Returns the contents of result.json. Raises NonFiniteError; PreemptedError after one of
    STOP_SIGNALS, with a checkpoint saved; ConfigError before anything is trained.
    """
    devices = make_placement(config.parallel, config.batch_size)
    check_parts(config, len(devices.devices))
    return fit_all([Run(experiment, config, workdir)], devices)[0]


def start_from(
    experiment: Experiment, config: RunConfig, state: TrainState, window: MetricWindow
) -> Canonical:
    """Return the state before the first step, with the pretrained variables, if any."""
    if not (config.init_from or experiment.pretrained):
        return state, window
    before = variables = {"params": state.params, **state.model_state}
    if config.init_from:
        say = partial(print, "init_from:", flush=True)
        variables = initial_variables(before, config.init_from, config.init_map, say)
    variables = with_pretrained(variables, experiment.pretrained)
    placed = jax.tree.map(
        lambda new, old: put(np.asarray(new, old.dtype), old.sharding), variables, before
    )
    return TrainState.start(placed, experiment.optimizer, state.carry, state.key), window


def make_placement(parallel: str, batch_size: int) -> JitMesh:
    """Return the placement that config.parallel names: "jit" or "pmap"."""
    if parallel == "pmap":
        from .pmap import Pmap

        return Pmap(batch_size)
    return JitMesh(batch_size)


def fit_all(runs: Sequence[Run], devices: JitMesh) -> list[dict[str, Any]]:
    """Call `fit` for runs that take each step together; they differ in seed, scores and folder.

    `devices` holds the optimizer settings that differ, in the order of the runs. The wall-clock
    time is divided equally among the runs. A run that becomes non-finite does not stop the others:
    its error is raised after the last step.
    """
    experiment = runs[0].experiment
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(writable(run.workdir)) for run in runs]
        for run, folder in zip(runs, folders, strict=True):
            check_data(run.workdir, run.experiment.provenance)
            stack.enter_context(locked_run(folder, run.config, run.experiment.provenance))
        example = experiment.train(0)
        for run, folder in zip(runs, folders, strict=True):
            write_assets(folder, run.experiment.assets, example)
        received = stack.enter_context(_stop_signals())
        began, end = time.perf_counter(), "finished"
        make = devices.initializer(experiment, example)
        initial = [make(run.config.seed) for run in runs]
        empty = initial[0][1]
        warn = partial(print, "warning:", flush=True)
        restored = restore_latest([run.workdir / "checkpoints" for run in runs], initial, warn)
        start_step = int(restored[0][0].step) if restored else -1
        start = restored or [
            start_from(run.experiment, run.config, *pair)
            for run, pair in zip(runs, initial, strict=True)
        ]
        del restored, initial  # otherwise they stay in the memory of the device
        about = ", ".join(f"{name} {value}" for name, value in experiment.provenance.items())
        print(f"data: {about}", flush=True)
        if start_step >= 0:
            print(f"continues at step {start_step} of {runs[0].config.steps}", flush=True)
        evaluator = Evaluator(experiment.task, devices)
        recorders = [
            Recorder(run, folder, evaluator.with_task(run.experiment.task), start_step, name)
            for run, folder, name in zip(runs, folders, _names(runs), strict=True)
        ]
        # None: no bar without a terminal
        hidden = True if jax.process_index() else None
        progress = {"total": runs[0].config.steps, "initial": max(start_step, 0), "unit": "step"}
        bar = stack.enter_context(tqdm(**progress, disable=hidden, dynamic_ncols=True))
        loop = _Loop(recorders, devices, start_step, bar)
        try:
            loop.run(start, empty, received)
        except BaseException as error:
            end = type(error).__name__
            raise
        finally:
            seconds = round((time.perf_counter() - began) / len(recorders), 2)
            with contextlib.ExitStack() as closing:  # closes all, even when one raises
                closing.callback(loop.profiler.close)
                for recorder in recorders:
                    closing.callback(recorder.close, end, loop.step, seconds)
        finished = [recorder for recorder in recorders if not recorder.failure]
        results = [recorder.write_result(loop.step) for recorder in finished]
        for recorder in recorders:
            if recorder.failure:
                raise recorder.failure
        return results


def _names(runs: Sequence[Run]) -> list[str]:
    """Prefixes of the printed lines; empty for a single run."""
    return [run.workdir.name if len(runs) > 1 else "" for run in runs]


class _Loop:
    """The steps of all runs, from the one after `start_step` on (-1: the start)."""

    def __init__(self, recorders: Sequence[Recorder], devices: JitMesh, start_step: int, bar: tqdm):
        self.recorders, self.devices, self.start_step = recorders, devices, start_step
        self.bar = bar
        self.config: RunConfig = recorders[0].run.config  # the settings of steps are equal in all
        self.step = max(start_step, 0)  # number of steps taken
        self.figure_steps = {round(at * self.config.steps) for at in self.config.figures_at}
        self.ended = recorders[0].out_of_patience
        folder = recorders[0].folder / "profile"
        self.profiler = Profiler(self.config.profiled_steps(), folder)

    def run(self, start: list[Canonical], empty: MetricWindow, received: list[int]) -> None:
        """Train from the state and window of each run to the last step; empties `start`.

        empty: the window after each logged line. received: numbers of the stop signals so far.
        """
        config, devices, count = self.config, self.devices, len(self.recorders)
        train_step = devices.compile(self.recorders[0].run.experiment, config.accumulate_steps)
        # no reader thread: the loop is ahead of the device anyway, and on a CPU a thread is slower
        options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
        dataset = grain.MapDataset.range(self.step, config.steps).map(self._batches)
        batches = iter(dataset.to_iter_dataset(options))
        state = devices.spread([state for state, _ in start])
        window = devices.copy([window for _, window in start])
        start.clear()
        empty = devices.copy([empty] * count)
        in_flight: collections.deque[MetricWindow] = collections.deque()
        while True:
            # asked once per step, so that the message below is true: the step is saved
            stopping = should_stop(received, self.step)
            if self.step > self.start_step:  # the restored checkpoint was saved after all this
                self._evaluate_draw_save(state, window, stopping)
            if stopping:
                name = signal.Signals(received[0]).name if received else "a signal to a process"
                saved = f"stopped by {name}, saved at step {self.step}"
                raise PreemptedError(f"{saved}; run the same command to continue")
            if self.step == config.steps or self.ended:
                return
            self.profiler.before(self.step + 1)
            state, window = train_step(state, window, devices.put_batch(next(batches)))
            self.step += 1
            self.bar.update()
            self.profiler.after(self.step, window)
            in_flight.append(window)
            if len(in_flight) > IN_FLIGHT:
                jax.block_until_ready(in_flight.popleft())
            if self.step % config.log_every == 0 or self.step == config.steps:
                self._log(window)
                window = empty

    def _batches(self, step: int) -> list[Batch]:
        return [recorder.run.experiment.train(step) for recorder in self.recorders]

    def _evaluate_draw_save(self, state: Any, window: Any, stopping: bool) -> None:
        """Evaluate, draw and save, whichever is due at this step."""
        last = self.step == self.config.steps
        evaluate = last or self.step % self.config.eval_every == 0
        draw = self.step in self.figure_steps
        save = evaluate or stopping or self.step % self.config.save_every == 0
        if not (draw or save):
            return
        pairs = list(zip(self.devices.gather(state), self.devices.one(window), strict=True))
        objectives = [math.inf] * len(pairs)
        for i, (recorder, pair) in enumerate(zip(self.recorders, pairs, strict=True)):
            if not recorder.failure:
                with self._catch_failure(recorder):
                    recorder.check_finite(pair[1])
                    if evaluate:
                        objectives[i] = recorder.evaluate(self.step, pair[0])
                        if recorder.out_of_patience and not last:
                            last = self.ended = True
                            draw |= 1.0 in self.config.figures_at
                            count = self.config.patience
                            tqdm.write(f"the loss is not lower after {count} evaluations: the end")
                    if last:
                        recorder.evaluate_last(self.step, pair[0])
                    if draw:
                        recorder.draw(self.step, pair[0], last)
        if save:
            self._save(pairs, objectives, last)

    def _save(self, pairs: list[Canonical], objectives: list[float], last: bool) -> None:
        """Save all runs at the same step; at the last one, only the runs that have not failed."""
        for recorder in self.recorders:  # no checkpoint is deleted before all have the next one
            recorder.checkpoints.wait()
        for recorder, (state, window), objective in zip(
            self.recorders, pairs, objectives, strict=True
        ):
            if not recorder.failure:
                recorder.checkpoints.save(self.step, state, window, objective)
            elif not last:  # marked, so that the run fails again when it is restored
                marked = window.replace(bad_step=jnp.full_like(window.bad_step, self.step))
                recorder.checkpoints.save(self.step, state, marked, objective)

    def _log(self, window: Any) -> None:
        """Fetch the windows and write their means."""
        windows = jax.device_get(self.devices.one(window))
        for recorder, run_window in zip(self.recorders, windows, strict=True):
            if not recorder.failure:
                with self._catch_failure(recorder):
                    recorder.log(self.step, run_window)

    @contextlib.contextmanager
    def _catch_failure(self, recorder: Recorder) -> Iterator[None]:
        """Continue without a run that has become non-finite; raise when it was the last."""
        try:
            yield
        except NonFiniteError as error:
            recorder.failure = error
            if all(other.failure for other in self.recorders):
                raise
            tqdm.write(f"{recorder.metrics.name}: {error}; the other runs continue")


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect STOP_SIGNALS; a second Ctrl-C has its usual effect.

    A second SIGTERM is collected like the first: batch systems send it to every process of a job,
    and it must not interrupt the saving that the first one caused. With several processes JAX
    listens to SIGTERM and informs all of them, so the other signals are passed on as SIGTERM.
    """
    received: list[int] = []
    several = jax.process_count() > 1
    handled = [number for number in STOP_SIGNALS if not (several and number == signal.SIGTERM)]
    before = {number: signal.getsignal(number) for number in handled}

    def stop(number: int, _frame: FrameType | None) -> None:
        if several:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            received.append(number)
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    for number in handled:
        signal.signal(number, stop)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
