"""Metrics in MLflow, by MLflow itself with a local folder, and a tracker that is not installed."""

import importlib
import os
import signal

import pytest

from tests.train.conftest import batch_at
from train import tracking
from train.config import ConfigError
from train.loop import fit
from train.metrics import read_metrics
from train.signals import PreemptedError


def test_a_resumed_run_is_one_run_of_mlflow_with_every_metric(
    tmp_path, regression, small_config, monkeypatch
):
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    config = small_config(steps=6, log_every=3, track="mlflow")
    workdir, calls = tmp_path / "run", []

    def stopping(step):
        calls.append(step)
        if len(calls) == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch_at(step)

    with pytest.raises(PreemptedError):
        fit(regression(config, train=stopping), config, workdir)
    fit(regression(config), config, workdir)
    client = mlflow.MlflowClient()
    (experiment,) = client.search_experiments(filter_string="name = 'train.config'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["steps"] == "6"
    last = {}
    for line in read_metrics(workdir):
        last |= line
    for name, value in last.items():
        if name != "step":
            assert run.data.metrics[name] == pytest.approx(value)
    steps = [each.step for each in client.get_metric_history(run.info.run_id, "train/loss")]
    assert sorted(set(steps)) == [3, 6]


def test_a_tracker_that_is_not_installed_is_one_line(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ConfigError, match=r"config\.track=wandb needs the package wandb, an extra"):
        tracking.library("wandb")
