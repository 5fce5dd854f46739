"""Copies of the metrics of a run in MLflow or Weights & Biases, by their own libraries."""

import dataclasses
import importlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from .background import Background
from .config import ConfigError, RunConfig
from .rundir import module_of, read_json, write_json

FILE = "tracking.json"  # in the run directory: the id of the run there


class Tracker(Protocol):
    """A service that shows the metrics of runs."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send metrics of a step."""

    def close(self, end: str) -> None:
        """Say how the attempt ended."""


def make_tracker(config: RunConfig, workdir: Path) -> Background:
    """Tracker that config.track names, in the background; a resumed run continues there.

    Raises ConfigError when its library is not installed.
    """
    library(config.track)
    tracker: Callable[[RunConfig, Path], Tracker] = MLflow if config.track == "mlflow" else WandB
    return Background(config.track, lambda: tracker(config, workdir))


def library(name: str) -> Any:
    """Module of a tracker; ConfigError when it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"config.track={name} needs the package {name}, an extra of this project: {error}"
        ) from None


class MLflow:
    """MLflow at $MLFLOW_TRACKING_URI, by default the folder mlruns; one experiment per module."""

    def __init__(self, config: RunConfig, workdir: Path):
        mlflow = library("mlflow")
        self.metric = mlflow.entities.Metric
        self.client = mlflow.MlflowClient()
        saved = read_json(workdir / FILE)
        if saved is None:
            name = module_of(config)
            experiment = self.client.get_experiment_by_name(name)
            number = experiment.experiment_id if experiment else self.client.create_experiment(name)
            run = self.client.create_run(number, run_name=workdir.name)
            for key, value in dataclasses.asdict(config).items():
                self.client.log_param(run.info.run_id, key, value)
            saved = {"id": run.info.run_id}
            write_json(workdir / FILE, saved)
        self.id = saved["id"]
        self.client.update_run(self.id, status="RUNNING")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send metrics of a step."""
        now = int(time.time() * 1000)
        metrics = [self.metric(name, value, now, step) for name, value in values.items()]
        self.client.log_batch(self.id, metrics=metrics)

    def close(self, end: str) -> None:
        """Say how the attempt ended."""
        self.client.set_terminated(self.id, "FINISHED" if end == "finished" else "KILLED")


class WandB:
    """Weights & Biases, as its environment variables configure it; one project per module."""

    def __init__(self, config: RunConfig, workdir: Path):
        wandb = library("wandb")
        saved = read_json(workdir / FILE) or {}
        self.run = wandb.init(
            project=module_of(config),
            name=workdir.name,
            id=saved.get("id"),
            resume="allow",
            config=dataclasses.asdict(config),
            dir=str(workdir),
        )
        write_json(workdir / FILE, {"id": self.run.id})

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send metrics of a step."""
        self.run.log(dict(values), step=step)

    def close(self, end: str) -> None:
        """Say how the attempt ended."""
        self.run.finish(exit_code=0 if end == "finished" else 1)
