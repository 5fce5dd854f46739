"""Checkpoints by Orbax: asynchronous, the two latest and the best kept, damage noticed."""

import contextlib
import gc
import json
import logging
import math
import operator
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from .config import ConfigError
from .distributed import meet
from .state import TrainState
from .step import Window


def checksum(tree) -> jax.Array:
    """Sum of all bytes, each weighted by its place, modulo 2**32: the same on any devices.

    Orbax notices a truncated file, but restores flipped bits without a word.
    """
    total = jnp.uint32(0)
    for leaf in jax.tree.leaves(tree):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        raw = jax.random.key_data(leaf) if is_key else leaf
        as_bytes = jnp.uint8(raw) if raw.dtype == bool else jax.lax.bitcast_convert_type(raw, "u1")
        words = as_bytes.astype(jnp.uint32).ravel()
        places = jnp.arange(words.size, dtype=jnp.uint32)
        # the odd factors make a swap of two bytes, or of two leaves, change the sum
        total = total * jnp.uint32(31) + jnp.sum(
            (words + 1) * (places * jnp.uint32(2654435761) | 1)
        )
    return total


class Checkpoints:
    """Writer of the `checkpoints` folder of a run; clears what a killed save left there."""

    def __init__(self, folder: Path):
        objective = operator.itemgetter("objective")
        best = checkpoint_managers.BestN(
            get_metric_fn=objective, reverse=True, n=1, keep_checkpoints_without_metrics=False
        )
        # without LatestN the latest would go when it is not the best
        keep = checkpoint_managers.AnyPreservationPolicy([checkpoint_managers.LatestN(2), best])
        # without best_fn the metrics are not written
        options = ocp.CheckpointManagerOptions(
            preservation_policy=keep, best_fn=objective, best_mode="min"
        )
        if jax.process_index() == 0:
            for left in folder.glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(left)
        self.manager = ocp.CheckpointManager(folder.absolute(), options=options)
        self._checksum = jax.jit(checksum)

    def save(self, step: int, state: TrainState, window: Window, objective: float = math.inf):
        """Write in the background. objective: lower is better; infinite when not evaluated."""
        tree = {"state": state, "window": window}
        tree["checksum"] = self._checksum(tree)
        metrics = {"objective": float(objective)}
        if not self.manager.save(step, args=ocp.args.StandardSave(tree), metrics=metrics):
            raise RuntimeError(f"checkpoint {step} was not written: there is one already")

    def wait(self) -> None:
        """Wait until what was saved is on disk."""
        self.manager.wait_until_finished()

    def close(self) -> None:
        """Wait until everything is on disk."""
        self.manager.close()


def objectives(folder: Path) -> dict[int, float]:
    """Objective of every whole checkpoint by its step; infinite where it cannot be read."""
    names = [path.name for path in folder.glob("[0-9]*") if path.name.isdigit()]
    found = dict.fromkeys(map(int, names), math.inf)
    for step in found:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found[step] = _objective(folder, step)
    return found


def _objective(folder: Path, step: int) -> float:
    path = folder / str(step) / "metrics" / "metrics"
    return float(json.loads(path.read_text(encoding="utf-8"))["objective"])


def best_first(folder: Path) -> list[int]:
    """Steps of the checkpoints by their objective, of equals the later one first."""
    found = objectives(folder)
    return sorted(found, key=lambda step: (found[step], -step))


def restore(folder: Path, step: int, state: TrainState, window: Window):
    """Restore (state, window) of one checkpoint; the arguments give shapes and shardings.

    Raises an error of some type, by Orbax or TensorStore, when it is damaged or of another network;
    ValueError when its checksum or its types do not fit.
    """
    like = {"state": state, "window": window, "checksum": window.bad_step.astype(jnp.uint32)}
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    _objective(folder, step)  # raises when it is damaged
    with ocp.StandardCheckpointer() as reader:
        tree = reader.restore(folder.absolute() / str(step) / "default", abstract)
    kinds = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), part) for part in (like, tree)]
    if kinds[0] != kinds[1]:  # Orbax gives a random key back as plain integers when a file is lost
        raise ValueError("its arrays are of other types")
    if int(tree.pop("checksum")) != int(jax.jit(checksum)(tree)):
        raise ValueError("its bytes do not give the checksum that was saved with them")
    return tree["state"], tree["window"]


def restore_first(
    folder: Path, steps: list[int], state: TrainState, window: Window, warn: Callable[[str], None]
) -> tuple[TrainState, Window, list[int]]:
    """Restore the first of `steps` that can be: (state, window, steps that could not).

    Raises ConfigError, and touches nothing, when none can.
    """
    reason = "there is none"
    for i, step in enumerate(steps):
        with _quiet():
            try:
                return *restore(folder, step, state, window), steps[:i]
            except Exception as error:  # Orbax and TensorStore raise many types, some bare
                reason = str(error).strip().split("\n")[0][:100]
        warn(f"checkpoint {step} is damaged ({reason}); taking another one")
    raise ConfigError(
        f"no checkpoint in {folder} can be read ({reason}). If the code of the network was "
        "changed, go back to it; else delete the workdir to start afresh"
    )


def restore_latest(
    folders: Sequence[Path], fresh: Sequence[tuple[TrainState, Window]], warn: Callable[[str], None]
) -> list[tuple[TrainState, Window]] | None:
    """Restore the latest checkpoint that is whole in every folder, or None when there is none yet.

    fresh: state and window of each before the first step. Once all are restored, damaged ones are
    moved to `damaged-checkpoints` beside their folder, with a warning, and those of a later step,
    which a kill left in some of the folders, go. Raises ConfigError when there is no common step.
    """
    there = [set(objectives(folder)) for folder in folders]
    steps = sorted(set.intersection(*there), reverse=True)
    if not steps and not any(set().union(*there)):  # killed before all had that of step 0
        _clear(folders, 0, [])
        return None
    if not steps:
        raise ConfigError(
            f"the runs of {folders[0].parent.parent} have no checkpoint of the same step; each can "
            "be finished by itself, in its own folder without replicas"
        )
    damaged: list[Path] = []
    restored: list[tuple[TrainState, Window]] = []
    while len(restored) < len(folders):
        folder, (state, window) = folders[len(restored)], fresh[len(restored)]
        state, window, bad = restore_first(folder, steps, state, window, warn)
        damaged += [folder / str(step) for step in bad]
        steps = steps[len(bad) :]
        restored = [] if bad and restored else [*restored, (state, window)]
    _clear(folders, steps[0] + 1, damaged)
    return restored


def _clear(folders: Sequence[Path], first: int, damaged: Sequence[Path]) -> None:
    """Take away checkpoints from a step on: damaged ones aside, the others are made once more."""
    paths = [folder / str(step) for folder in folders for step in objectives(folder)]
    for path in paths if jax.process_index() == 0 else []:
        aside = path.parent.parent / "damaged-checkpoints" / f"{path.name}-{time.time_ns()}"
        if path in damaged:
            aside.parent.mkdir(exist_ok=True)
            path.rename(aside)
        elif int(path.name) >= first:
            shutil.rmtree(path)
    meet("checkpoints are cleared")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the readers of a failed restore from printing what is raised as well.

    Orbax's do so when they are thrown away; TensorStore's threads at any later time, when they find
    the event loop closed.
    """
    logger = logging.getLogger("asyncio")
    level, before = logger.level, sys.unraisablehook

    def late(unraisable):
        if "Event loop is closed" not in str(unraisable.exc_value):
            before(unraisable)

    logger.setLevel(logging.CRITICAL + 1)
    sys.unraisablehook = lambda unraisable: None
    try:
        yield
    finally:
        gc.collect()
        sys.unraisablehook = late
        logger.setLevel(level)
