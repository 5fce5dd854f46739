"""Runs in memory, for the tests of tables and pictures."""

from pathlib import Path

import pytest

from experiments.report.runs import Run


@pytest.fixture
def run_of():
    """Return a function that makes a run with a final test/loss, or None, and val/loss by step."""

    def make(seed, value=None, curve=(), best_step=20, **settings):
        path = Path(f"run{seed}")
        config = {"seed": seed, "steps": 20, "data_dir": "", **settings}
        lines = [{"step": step, "val/loss": loss} for step, loss in dict(curve).items()]
        metrics = {"test/loss": value, "val/loss": value}
        result = {"metrics": metrics, "best_step": best_step, "seconds": 10.0}
        return Run(path, config, None if value is None else result, lines)

    return make
