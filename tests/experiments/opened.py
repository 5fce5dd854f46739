"""Trained runs in memory, for the tests of modes."""

from pathlib import Path
from types import SimpleNamespace

from train.trained import TrainedRun


def opened(task, predict=None, *, variables=None, config=None, evals=None):
    """Return a run of a task; predict, or an object with the variables alone; held-out sets."""
    predict = predict or SimpleNamespace(variables=variables)
    run = TrainedRun(config or getattr(task, "config", None), Path(), task, predict, None)
    run.__dict__["experiment"] = SimpleNamespace(evals=evals or {})
    return run
