"""The output of one run: its metrics, figures, checkpoints and result."""

import contextlib
import math
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from .background import Background
from .checkpoint import Checkpoints, best_first, objectives
from .config import OptimizerConfig, RunConfig
from .evaluate import Evaluator, Predictor
from .figures import draw_figures
from .metrics import Metrics, final_metrics, read_metrics
from .optimizer import make_schedule
from .placement import Placement, put
from .rundir import log_attempt, seconds_trained, write_json
from .state import TrainState
from .step import MetricWindow
from .task import Experiment, host_values


class NonFiniteError(ArithmeticError):
    """The loss or its gradient has become infinite or NaN."""

    exit_code = 3


class Run(NamedTuple):
    """An experiment with its config and its run directory."""

    experiment: Experiment
    config: RunConfig
    workdir: Path


class Due(NamedTuple):
    """What is due after a step; last: it is the last step."""

    evaluate: bool
    draw: bool
    save: bool
    last: bool


def due_at(config: RunConfig, step: int, stopping: bool) -> Due:
    """Return what is due after `step` steps."""
    last = step == config.steps
    evaluate = last or step % config.eval_every == 0
    draw = step in {round(at * config.steps) for at in config.figures_at}
    save = evaluate or stopping or step % config.save_every == 0
    return Due(evaluate, draw, save, last)


def anything_due(config: RunConfig, step: int) -> bool:
    """Return whether the host has anything to do between step number `step` and the next."""
    profiled = config.profiled_steps()
    return (
        any(due_at(config, step, False))
        or step % config.log_every == 0
        or step + 1 in (profiled.start, profiled.stop)
    )


class Recorder:
    """Evaluates and writes one run of the loop, from `start_step` on (-1: the start).

    folder: where this process writes everything except checkpoints; run.workdir, unless there are
    several processes. evaluator: that of another run with the same programs, if there is one.
    """

    def __init__(  # noqa: PLR0917
        self,
        run: Run,
        folder: Path,
        placement: Placement,
        start_step: int,
        name: str = "",
        evaluator: Evaluator | None = None,
    ):
        self.run, self.folder, self.placement = run, folder, placement
        self.evaluator = evaluator or Evaluator(run.experiment.task, placement)
        self.objective = run.experiment.task.objective
        self.tracker: Background | None = None
        if run.config.track and jax.process_index() == 0:
            from .tracking import make_tracker

            self.tracker = make_tracker(run.config, folder)
        self.metrics = Metrics(folder, start_step, name, self.tracker)
        log_attempt(folder, "start", max(start_step, 0))
        self.checkpoints = Checkpoints(run.workdir / "checkpoints")
        first = next(iter(run.experiment.evals))
        self.evaluations = [
            {name.removeprefix(f"{first}/"): value for name, value in line.items()}
            for line in read_metrics(folder)
            if f"{first}/loss" in line
        ]
        self.alone = not name  # one of several runs trains on until the last step
        self.ended = bool(self.early_end)
        config, self.schedule = run.config, run.experiment.schedule
        if isinstance(config, OptimizerConfig) and not self.schedule:
            self.schedule = make_schedule(config)

    def batch(self, step: int) -> Any:
        """Return the placed batch of a step."""
        experiment, config, _ = self.run
        return self.placement.make_batch(experiment.train, step, config.batch_size)

    def record(self, step: int, state: Any, window: Any, stopping: bool) -> None:
        """Evaluate, save and draw, whichever is due after `step` steps."""
        due = due_at(self.run.config, step, stopping)
        if due.draw or due.save:
            state, window = self.placement.gather(state), self.placement.one(window)
            due, objective = self.measure(step, due, state, window)
            if due.save:
                self.checkpoints.wait()
                self.checkpoints.save(step, state, window, objective)
            if due.draw:
                self.draw(step, state, due.last)

    def draw_missing(self, step: int, state: Any) -> None:
        """Draw the figures of a restored step if the run was killed between saving and drawing."""
        if self.lacks_figures(step):
            last = self.ended or step == self.run.config.steps
            self.draw(step, self.placement.gather(state), last)

    def lacks_figures(self, step: int) -> bool:
        """Whether the figures that are due after a step are missing.

        False with several processes: they might see different files and then wait for one another.
        """
        config = self.run.config
        due = due_at(config, step, False).draw or (self.ended and 1.0 in config.figures_at)
        drawn = any((self.folder / "figures").glob(f"*-{step:07d}.*"))
        return due and not drawn and jax.process_count() == 1

    def measure(
        self, step: int, due: Due, state: TrainState, window: MetricWindow
    ) -> tuple[Due, float]:
        """Evaluate; return what is due, since the run may have ended early, and the objective.

        The objective is infinite when it is not evaluated.
        """
        self.check_finite(window)
        objective = math.inf
        if due.evaluate:
            objective = self.evaluate(step, state)
            if self.early_end and not due.last:
                self.ended = True
                draw = due.draw or 1.0 in self.run.config.figures_at
                due = due._replace(last=True, draw=draw)
                count = self.run.config.patience
                reasons = {
                    "solved": f"solved after {step} steps",
                    "patience": f"the {self.objective} is not lower after {count} evaluations",
                }
                tqdm.write(f"{reasons[self.early_end]}: training ends")
        if due.last:
            self.evaluate_last(step, state)
        return due, objective

    @property
    def early_end(self) -> str:
        """Why the run is over before its last step: "solved", "patience", or "" if it is not.

        Patience ends when config.patience evaluations have not lowered the task's objective.
        """
        if not (self.evaluations and self.alone):
            return ""
        if self.run.experiment.task.solved(self.evaluations[-1]):
            return "solved"
        patience, values = self.run.config.patience, [e[self.objective] for e in self.evaluations]
        since_best = len(values) - 1 - int(np.argmin(values))
        return "patience" if patience and since_best >= patience else ""

    def close(self, end: str, step: int, seconds: float) -> None:
        """Wait until everything is on disk; log how the attempt ended."""
        with contextlib.ExitStack() as closing:  # runs in reverse order, even when one raises
            closing.callback(log_attempt, self.folder, end, step, seconds=seconds)
            if self.tracker:
                closing.callback(self.tracker.close, end)
            closing.callback(self.metrics.close)
            closing.callback(self.checkpoints.close)

    def log(self, step: int, window: Any) -> None:
        """Write the means of a window, with the learning rate of its last step."""
        self.log_means(step, jax.device_get(self.placement.one(window)))

    def log_means(self, step: int, window: MetricWindow) -> None:
        """Write the means of a window that is on the host."""
        self.check_finite(window)
        means = host_values(window.means)
        config, values = self.run.config, means | self.run.experiment.task.summaries(means)
        if self.schedule:
            values["learning_rate"] = float(jax.jit(self.schedule)(step - 1))
        self.metrics.write(step, "train", values, self.metrics.speed(step, config.batch_size))

    def evaluate(self, step: int, state: TrainState) -> float:
        """Evaluate the first held-out set; return its objective."""
        name, batches = next(iter(self.run.experiment.evals.items()))
        self.evaluations.append(self.evaluator(state.variables, batches))
        self._write(step, name, self.evaluations[-1])
        return self.evaluations[-1][self.objective]

    def evaluate_last(self, step: int, state: TrainState) -> None:
        """Evaluate the other held-out sets, with this state and with the best checkpoint.

        The metrics of the latter are those of NAME_best. This state has been evaluated on the first
        set; it is the best one if no checkpoint has a lower objective there.
        """
        self.checkpoints.wait()  # the best one may still be written
        saved = objectives(self.run.workdir / "checkpoints").values()
        best = None
        if self.evaluations[-1][self.objective] > min(saved, default=math.inf):
            from .weights import read_variables

            best = read_variables(self.run.workdir, partial(tqdm.write, file=sys.stderr))
            best = put(best, self.placement.everywhere)
        for name, batches in list(self.run.experiment.evals.items())[1:]:
            values = self.evaluator(state.variables, batches)
            self._write(step, name, values)
            self._write(step, f"{name}_best", self.evaluator(best, batches) if best else values)

    def _write(self, step: int, name: str, values: Mapping[str, float]) -> None:
        """Write the metrics of a set; NonFiniteError when its loss is not finite."""
        if not math.isfinite(values["loss"]):
            raise NonFiniteError(
                f"{name}/loss is {values['loss']} at step {step}; the best checkpoint is kept"
            )
        self.metrics.write(step, name, values)

    def draw(self, step: int, state: TrainState, last: bool) -> None:
        """Write the task's figures, of the last held-out set at the end, else of the first."""
        predict = Predictor(state.variables, self.evaluator)
        sets = list(self.run.experiment.evals.values())
        make = partial(self.run.experiment.task.figures, predict, sets[-1] if last else sets[0])
        draw_figures(self.folder, step, make, self.metrics.board)

    def check_finite(self, window: MetricWindow) -> None:
        """Raise NonFiniteError when a step of the window was not finite."""
        bad = int(window.bad_step)
        if bad >= 0:
            raise NonFiniteError(
                f"loss or gradient is not finite at step {bad}; the best checkpoint is kept"
            )

    def write_result(self, step: int) -> dict[str, Any]:
        """Write result.json, which marks a run as finished at `step`, from the files on disk."""
        experiment, config, workdir = self.run
        seconds, attempts = seconds_trained(self.folder)
        names = list(experiment.evals)
        result = {
            "step": step,
            "end": self.early_end if step < config.steps else "steps",
            "headline": f"{names[-1]}/{experiment.task.headline}",
            "curve": f"{names[0]}/{experiment.task.headline}",
            "objective": f"{names[0]}/{self.objective}",
            "metrics": final_metrics(self.folder, step),
            "best_step": best_first(workdir / "checkpoints")[0],
            "seconds": seconds,
            "attempts": attempts,
        }
        write_json(self.folder / "result.json", result)
        return result
