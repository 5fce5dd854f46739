"""A trained run, opened for its modes: the experiment, and the network at its best checkpoint."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax

from .checkpoint import best_first, restore_first
from .config import ConfigError, RunConfig
from .evaluate import Evaluator, Predictor
from .placement import JitMesh
from .rundir import check_data
from .task import Experiment


def load_run(
    build: Callable[[Any], Experiment], config: RunConfig, workdir: Path
) -> tuple[Experiment, Predictor]:
    """Return the experiment of a run, and its network at the best readable checkpoint.

    Raises ConfigError when there is no checkpoint, or when the data have changed since training.
    """
    folder = workdir / "checkpoints"
    steps = best_first(folder)
    if not steps:
        raise ConfigError(f"there is no checkpoint in {folder}: this mode needs a trained run")
    experiment = build(config)
    check_data(workdir, experiment.provenance)
    devices = JitMesh(1, jax.devices()[:1])
    state, window = devices.init(experiment, config.seed, experiment.train(0))
    warn = partial(print, "warning:", file=sys.stderr)
    state, _, _ = restore_first(folder, steps, state, window, warn)
    return experiment, Predictor(state.variables, Evaluator(experiment.task, devices))
