"""The output of one run: its metrics, figures, checkpoints and result."""

import math
from pathlib import Path
from typing import Any, NamedTuple

from .checkpoint import Checkpoints, best_first
from .config import RunConfig
from .evaluate import Evaluator, Predictor
from .metrics import Metrics, final_metrics, save_figures
from .rundir import log_attempt, seconds_trained, write_json
from .state import TrainState
from .step import MetricWindow
from .task import Experiment


class NonFiniteError(ArithmeticError):
    """The loss or its gradient has become infinite or NaN."""

    exit_code = 3


class Run(NamedTuple):
    """An experiment with its config and its run directory."""

    experiment: Experiment
    config: RunConfig
    workdir: Path


class Recorder:
    """Evaluates and writes one run of the loop, from `start_step` on (-1: the start).

    folder: where this process writes everything except checkpoints; run.workdir, unless there are
    several processes. failure: the reason why the run cannot continue.
    """

    def __init__(
        self, run: Run, folder: Path, evaluator: Evaluator, start_step: int, name: str = ""
    ):
        self.run, self.folder, self.evaluator = run, folder, evaluator
        self.metrics = Metrics(folder, start_step, name)
        log_attempt(folder, "start", max(start_step, 0))
        self.checkpoints = Checkpoints(run.workdir / "checkpoints")
        self.failure: NonFiniteError | None = None

    def close(self, end: str, step: int, seconds: float) -> None:
        """Wait until everything is on disk; log how the attempt ended."""
        self.checkpoints.close()
        self.metrics.close()
        end = type(self.failure).__name__ if self.failure else end
        log_attempt(self.folder, end, step, seconds=seconds)

    def log(self, step: int, window: MetricWindow) -> None:
        """Write the means of a window that is on the host."""
        self.check_finite(window)
        means = {name: float(mean.value) for name, mean in window.means.items()}
        self.metrics.write(step, "train", means | self.run.experiment.task.summaries(means))
        self.metrics.speed(step)

    def evaluate(self, step: int, state: TrainState) -> float:
        """Evaluate the first set, at the last step every set; return the loss on the first."""
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
        last = step == self.run.config.steps  # the last set is used only at the end
        figures = self.run.experiment.task.figures(predict, sets[-1] if last else sets[0])
        save_figures(self.folder, step, figures)

    def check_finite(self, window: MetricWindow) -> None:
        """Raise NonFiniteError when a step of the window was not finite."""
        bad = int(window.bad_step)
        if bad >= 0:
            raise NonFiniteError(
                f"loss or gradient is not finite at step {bad}; the best checkpoint is kept"
            )

    def write_result(self) -> dict[str, Any]:
        """Write result.json, which marks a run as finished, from the files on disk."""
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
