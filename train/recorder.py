"""A run as the loop sees it: what is measured, drawn, saved and written in its folder."""

import math
from pathlib import Path
from typing import Any, NamedTuple

from .checkpoint import Checkpoints, best_first
from .config import RunConfig
from .evaluate import Evaluator, Predictor
from .metrics import Metrics, final_metrics, save_figures
from .rundir import log_attempt, seconds_trained, write_json
from .state import TrainState
from .step import Window
from .task import Experiment


class NonFiniteError(ArithmeticError):
    """The loss or its gradient is not a finite number any more."""

    exit_code = 3


class Run(NamedTuple):
    """What is trained in a folder."""

    experiment: Experiment
    config: RunConfig
    workdir: Path


class Member:
    """A run of the loop, from step `held` on (-1: the start).

    folder: what this process writes to, but for checkpoints; run.workdir, unless there are several
    processes. lost: why the run cannot go on.
    """

    def __init__(self, run: Run, folder: Path, evaluator: Evaluator, held: int, name: str = ""):
        self.run, self.folder, self.evaluator = run, folder, evaluator
        self.metrics = Metrics(folder, held, name)
        log_attempt(folder, "start", max(held, 0))
        self.checkpoints = Checkpoints(run.workdir / "checkpoints")
        self.lost: NonFiniteError | None = None

    def close(self, end: str, step: int, seconds: float) -> None:
        """Wait until all is on disk; say how the attempt ended."""
        self.checkpoints.close()
        self.metrics.close()
        end = type(self.lost).__name__ if self.lost else end
        log_attempt(self.folder, end, step, seconds=seconds)

    def log(self, step: int, window: Window) -> None:
        """Write the means of a window that is on the host."""
        self.check_finite(window)
        means = {name: float(mean.value) for name, mean in window.means.items()}
        self.metrics.write(step, "train", means | self.run.experiment.task.summaries(means))
        self.metrics.speed(step)

    def evaluate(self, step: int, state: TrainState) -> float:
        """Evaluate the first set, at the last step every set; returns the loss of the first."""
        sets = list(self.run.experiment.evals.items())
        losses = []
        for name, batches in sets if step == self.run.config.steps else sets[:1]:
            values = self.evaluator(state.variables, batches)
            if not math.isfinite(values["loss"]):
                raise NonFiniteError(
                    f"{name}/loss is {values['loss']} at step {step}; the best checkpoint is kept"
                )
            self.metrics.write(step, name, values)
            losses.append(values["loss"])
        return losses[0]

    def draw(self, step: int, state: TrainState) -> None:
        """Write the task's figures."""
        predict = Predictor(state.variables, self.evaluator)
        sets = list(self.run.experiment.evals.values())
        last = step == self.run.config.steps  # the last set is not looked at before the end
        figures = self.run.experiment.task.figures(predict, sets[-1] if last else sets[0])
        save_figures(self.folder, step, figures)

    def check_finite(self, window: Window) -> None:
        """Raise NonFiniteError when a step of the window was not finite."""
        bad = int(window.bad_step)
        if bad >= 0:
            raise NonFiniteError(
                f"loss or gradient is not finite at step {bad}; the best checkpoint is kept"
            )

    def write_result(self) -> dict[str, Any]:
        """Write result.json, the mark of a finished run, from what is on the disk."""
        experiment, config, workdir = self.run
        seconds, attempts = seconds_trained(self.folder)
        names = list(experiment.evals)
        result = {
            "step": config.steps,
            "headline": f"{names[-1]}/{experiment.task.headline}",
            "curve": f"{names[0]}/{experiment.task.headline}",
            "objective": f"{names[0]}/loss",
            "metrics": final_metrics(self.folder, config.steps),
            "best_step": best_first(workdir / "checkpoints")[0],
            "seconds": seconds,
            "attempts": attempts,
        }
        write_json(self.folder / "result.json", result)
        return result
