"""Asynchronous Orbax checkpoints: the two latest and the best are kept; damage is detected."""

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
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from .config import ConfigError
from .distributed import barrier
from .state import TrainState
from .step import Canonical, MetricWindow

Warn = Callable[[str], None]


def checksum(tree: Any) -> jax.Array:
    """Sum of all bytes modulo 2**32, each weighted by its position; the same on any devices.

    Orbax notices a truncated file, but silently restores flipped bits.
    """
    total = jnp.uint32(0)
    for leaf in jax.tree.leaves(tree):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        raw = jax.random.key_data(leaf) if is_key else leaf
        as_bytes = jnp.uint8(raw) if raw.dtype == bool else jax.lax.bitcast_convert_type(raw, "u1")
        words = as_bytes.astype(jnp.uint32).ravel()
        positions = jnp.arange(words.size, dtype=jnp.uint32)
        # the odd factors make a swap of two bytes, or of two leaves, change the sum
        total = total * jnp.uint32(31) + jnp.sum(
            (words + 1) * (positions * jnp.uint32(2654435761) | 1)
        )
    return total


class Checkpoints:
    """Writer of the `checkpoints` folder of a run; removes the remains of a killed save there."""

    def __init__(self, folder: Path):
        objective = operator.itemgetter("objective")
        best = checkpoint_managers.BestN(
            get_metric_fn=objective, reverse=True, n=1, keep_checkpoints_without_metrics=False
        )
        # without LatestN, the latest is deleted when it is not the best
        keep = checkpoint_managers.AnyPreservationPolicy([checkpoint_managers.LatestN(2), best])
        # without best_fn, the metrics are not written
        options = ocp.CheckpointManagerOptions(
            preservation_policy=keep, best_fn=objective, best_mode="min"
        )
        if jax.process_index() == 0:
            for unfinished in folder.glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(unfinished)
        self.manager = ocp.CheckpointManager(folder.absolute(), options=options)
        self._checksum = jax.jit(checksum)

    def save(
        self, step: int, state: TrainState, window: MetricWindow, objective: float = math.inf
    ) -> None:
        """Write in the background. objective: lower is better; infinite when not evaluated."""
        tree: dict[str, Any] = {"state": state, "window": window}
        tree["checksum"] = self._checksum(tree)
        metrics = {"objective": float(objective)}
        tree = jax.tree.map(_one_copy, tree)
        if not self.manager.save(step, args=ocp.args.StandardSave(tree), metrics=metrics):
            raise RuntimeError(f"checkpoint {step} was not written: it exists already")

    def wait(self) -> None:
        """Wait until every save is on disk."""
        self.manager.wait_until_finished()

    def close(self) -> None:
        """Wait until every save is on disk, then close the manager."""
        self.manager.close()


def _one_copy(leaf: jax.Array) -> jax.Array:
    """Copy of a replicated array on its first device; Orbax would compile a slice per shape."""
    whole = jax.process_count() == 1 and leaf.is_fully_replicated
    return leaf.addressable_data(0) if whole else leaf


def objectives(folder: Path) -> dict[int, float]:
    """Objective of every complete checkpoint by its step; infinite where it is unreadable."""
    names = [path.name for path in folder.glob("[0-9]*") if path.name.isdigit()]
    values = dict.fromkeys(map(int, names), math.inf)
    for step in values:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            values[step] = _objective(folder, step)
    return values


def _objective(folder: Path, step: int) -> float:
    path = folder / str(step) / "metrics" / "metrics"
    return float(json.loads(path.read_text(encoding="utf-8"))["objective"])


def best_first(folder: Path) -> list[int]:
    """Steps of the checkpoints, sorted by objective; among equals the latest comes first."""
    values = objectives(folder)
    return sorted(values, key=lambda step: (values[step], -step))


def restore(folder: Path, step: int, state: TrainState, window: MetricWindow) -> Canonical:
    """Restore (state, window) of one checkpoint; the arguments give shapes and shardings.

    Raises an error of Orbax or TensorStore, of any type, when the checkpoint is damaged or belongs
    to another network; ValueError when its types or its checksum do not match.
    """
    like = {"state": state, "window": window, "checksum": window.bad_step.astype(jnp.uint32)}
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    _objective(folder, step)  # raises when it is damaged
    with ocp.StandardCheckpointer() as reader:
        tree = reader.restore(folder.absolute() / str(step) / "default", abstract)
    types = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), each) for each in (like, tree)]
    if types[0] != types[1]:  # Orbax restores a random key as plain integers when a file is missing
        raise ValueError("the types of its arrays do not match")
    if int(tree.pop("checksum")) != int(jax.jit(checksum)(tree)):
        raise ValueError("its checksum does not match its contents")
    return tree["state"], tree["window"]


def first_readable(
    folder: Path, steps: list[int], read: Callable[[Path, int], Any], warn: Warn
) -> tuple[Any, list[int]]:
    """Return read(folder, step) of the first readable step of `steps`, and the unreadable ones.

    Raises ConfigError, and changes no file, when none is readable.
    """
    reason = "there is none"
    for i, step in enumerate(steps):
        with quiet():
            try:
                return read(folder, step), steps[:i]
            except Exception as error:  # Orbax and TensorStore raise many types, some bare
                reason = str(error).strip().split("\n")[0][:100]
        warn(f"checkpoint {step} is damaged ({reason}); trying another one")
    raise ConfigError(
        f"no checkpoint in {folder} can be read ({reason}). If the code of the network has "
        "changed, restore the old code; otherwise delete the workdir to start again"
    )


def restore_latest(
    folders: Sequence[Path], initial: Sequence[Canonical], warn: Warn
) -> list[Canonical] | None:
    """Restore the latest checkpoint that is readable in every folder; None when there is none yet.

    initial: state and window of each run before the first step. Once all runs are restored, damaged
    checkpoints are moved to `damaged-checkpoints` beside their folder, with a warning, and later
    ones, which a kill left in some folders only, are deleted. Raises ConfigError when the folders
    have no step in common.
    """
    available = [set(objectives(folder)) for folder in folders]
    steps = sorted(set.intersection(*available), reverse=True)
    if not steps and not any(set().union(*available)):  # killed before all had saved step 0
        _clear(folders, 0, [])
        return None
    if not steps:
        raise ConfigError(
            f"the runs of {folders[0].parent.parent} have no checkpoint at a common step; finish "
            "each of them separately, in its own folder and without replicas"
        )
    damaged: list[Path] = []
    restored: list[Canonical] = []
    while len(restored) < len(folders):
        folder, (state, window) = folders[len(restored)], initial[len(restored)]
        read = partial(restore, state=state, window=window)
        (state, window), bad = first_readable(folder, steps, read, warn)
        damaged += [folder / str(step) for step in bad]
        steps = steps[len(bad) :]
        restored = [] if bad and restored else [*restored, (state, window)]
    _clear(folders, steps[0] + 1, damaged)
    return restored


def _clear(folders: Sequence[Path], first: int, damaged: Sequence[Path]) -> None:
    """Move damaged checkpoints aside; delete the others from step `first` on."""
    paths = [folder / str(step) for folder in folders for step in objectives(folder)]
    for path in paths if jax.process_index() == 0 else []:
        aside = path.parent.parent / "damaged-checkpoints" / f"{path.name}-{time.time_ns()}"
        if path in damaged:
            aside.parent.mkdir(exist_ok=True)
            path.rename(aside)
        elif int(path.name) >= first:
            shutil.rmtree(path)
    barrier("checkpoints are cleared")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what the readers of a failed restore print in addition to the exception.

    Orbax's readers print when they are garbage collected; TensorStore's threads print at any later
    time, when they notice that the event loop is closed.
    """
    logger = logging.getLogger("asyncio")
    level, before = logger.level, sys.unraisablehook

    def ignore_closed_loop(unraisable: "sys.UnraisableHookArgs") -> None:
        if "Event loop is closed" not in str(unraisable.exc_value):
            before(unraisable)

    logger.setLevel(logging.CRITICAL + 1)
    sys.unraisablehook = lambda unraisable: None
    try:
        yield
    finally:
        gc.collect()
        sys.unraisablehook = ignore_closed_loop
        logger.setLevel(level)
