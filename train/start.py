"""The start of runs: their directories, and their states: new, pretrained, or restored."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .checkpoint import restore_latest
from .distributed import writable
from .metrics import check_evaluations
from .placement import put
from .recorder import Run
from .rundir import check_data, locked_run, write_assets
from .state import TrainState
from .step import Canonical
from .task import Batch


@contextlib.contextmanager
def opened(runs: Sequence[Run]) -> Iterator[tuple[list[Path], Batch]]:
    """Create and lock the directories of runs.

    Yields the folder of each that this process writes, and an example of a batch.
    Raises ConfigError, and changes nothing, when one was made with another config or other data.
    """
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(writable(run.workdir)) for run in runs]
        for run, folder in zip(runs, folders, strict=True):
            check_data(run.workdir, run.experiment.provenance)
            stack.enter_context(locked_run(folder, run.config, run.experiment.provenance))
        example = example_batch(runs[0])
        for run, folder in zip(runs, folders, strict=True):
            write_assets(folder, run.experiment.assets, example)
        yield folders, example


def example_batch(run: Run) -> Batch:
    """Return a batch of the usual shapes, whose rows are all the first one of the first step.

    So every process has the same one, without making the rows of the others.
    """
    first = run.experiment.train(0, slice(0, 1))
    return {name: np.repeat(x, run.config.batch_size, axis=0) for name, x in first.items()}


def first_states(
    runs: Sequence[Run], initial: Sequence[Canonical]
) -> tuple[int, Sequence[Canonical]]:
    """Return (step, state and window of each run) to go on from: -1 and pretrained states, if new.

    initial: states and windows before the first step. Raises ConfigError when no checkpoint can be
    read, or when metrics.jsonl is older than the checkpoint.
    """
    warn = partial(print, "warning:", flush=True)
    restored = restore_latest([run.workdir / "checkpoints" for run in runs], initial, warn)
    print_data(runs[0].experiment.provenance)
    if restored is None:
        pairs = zip(runs, initial, strict=True)
        return -1, [(pretrained(run, state), window) for run, (state, window) in pairs]
    step = int(restored[0][0].step)
    for run, (_, window) in zip(runs, restored, strict=True):
        if int(window.bad_step) < 0:  # a diverged replica is saved without an evaluation
            first = next(iter(run.experiment.evals))
            evaluated = range(0, step + 1, run.config.eval_every)
            check_evaluations(run.workdir, f"{first}/loss", evaluated)
    print(f"continues at step {step} of {runs[0].config.steps}", flush=True)
    return step, restored


def print_data(provenance: Mapping[str, Any]) -> None:
    """Print what identifies the data."""
    about = ", ".join(f"{name} {value}" for name, value in provenance.items())
    print(f"data: {about}", flush=True)


def pretrained(run: Run, state: TrainState) -> TrainState:
    """Return the state before the first step, with the pretrained variables of a run, if any."""
    experiment, config = run.experiment, run.config
    if not (config.init_from or experiment.pretrained):
        return state
    from .transfer import initial_variables, with_pretrained

    before = variables = {"params": state.params, **state.model_state}
    if config.init_from:
        say = partial(print, "init_from:", flush=True)
        variables = initial_variables(before, config.init_from, config.init_map, say)
    variables = with_pretrained(variables, experiment.pretrained)
    placed = jax.tree.map(
        lambda new, old: put(np.asarray(new, old.dtype), old.sharding), variables, before
    )
    return TrainState.start(placed, experiment.optimizer, state.carry, state.key)
