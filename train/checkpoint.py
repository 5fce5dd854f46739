"""Checkpoints by Orbax: asynchronous, the two latest and the best kept, damage noticed."""

import contextlib
import gc
import logging
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from train.state import TrainState
from train.step import Window


def checksum(tree) -> jax.Array:
    """Sum of all bytes, each weighted by its place, modulo 2**32: the same on any devices.

    Orbax notices a truncated file, but restores flipped bits without a word.
    """
    total = jnp.uint32(0)
    for leaf in jax.tree.leaves(tree):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        raw = jax.random.key_data(leaf) if is_key else leaf
        words = jax.lax.bitcast_convert_type(raw, jnp.uint8).astype(jnp.uint32).ravel()
        places = jnp.arange(words.size, dtype=jnp.uint32)
        # the odd factors make a swap of two bytes, or of two leaves, change the sum
        total = total * jnp.uint32(31) + jnp.sum(
            (words + 1) * (places * jnp.uint32(2654435761) | 1)
        )
    return total


class Checkpoints:
    """The `checkpoints` folder of one run; saves (state, window) with the objective it reached."""

    def __init__(self, folder: Path, *, create: bool = True):
        """Open or create the folder."""
        # without its bar on the last two, the latest would go when it is not among the best
        policy = checkpoint_managers.AnyPreservationPolicy(
            [
                checkpoint_managers.LatestN(2),
                checkpoint_managers.BestN(get_metric_fn=lambda m: -m["objective"], n=1),
            ]
        )
        self.folder = folder.absolute()
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policy,
            best_fn=lambda metrics: metrics["objective"],
            best_mode="min",
            create=create,
        )
        self._open: Callable[[], ocp.CheckpointManager] = lambda: ocp.CheckpointManager(
            self.folder, options=options
        )
        self.manager = self._open()
        self._checksum = jax.jit(checksum)

    def save(self, step: int, state: TrainState, window: Window, objective: float = math.inf):
        """Write in the background. objective: lower is better; infinite when not evaluated."""
        tree = {"state": state, "window": window}
        tree["checksum"] = self._checksum(tree)
        saved = self.manager.save(
            step, args=ocp.args.StandardSave(tree), metrics={"objective": float(objective)}
        )
        if not saved:
            raise RuntimeError(f"checkpoint {step} was not written: there is one in {self.folder}")

    def restore_latest(
        self, state: TrainState, window: Window, warn: Callable[[str], None]
    ) -> tuple[TrainState, Window] | None:
        """Latest whole checkpoint, or None. `state` and `window` give shapes and shardings.

        A damaged one is moved to `damaged-checkpoints` beside the folder, with a warning.
        """
        for step in sorted(self.manager.all_steps(), reverse=True):
            with _quiet():
                try:
                    return self.restore(step, state, window)
                except Exception as error:  # Orbax and TensorStore raise many types, some bare
                    reason = str(error).strip().split("\n")[0][:100]
            aside = self.folder.parent / "damaged-checkpoints" / str(step)
            aside.parent.mkdir(exist_ok=True)
            self.manager.close()
            (self.folder / str(step)).rename(aside)
            self.manager = self._open()
            warn(f"checkpoint {step} is damaged ({reason}); moved to {aside}")
        return None

    def restore(self, step: int, state: TrainState, window: Window) -> tuple[TrainState, Window]:
        """Restore one checkpoint; raises ValueError when its checksum does not fit."""
        like = {"state": state, "window": window, "checksum": jnp.uint32(0)}
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        tree = self.manager.restore(step, args=ocp.args.StandardRestore(abstract))
        found = tree.pop("checksum")
        if int(self._checksum(tree)) != int(found):
            raise ValueError("its bytes do not give the checksum that was saved with them")
        return tree["state"], tree["window"]

    @property
    def best_step(self) -> int | None:
        """Step of the lowest objective, None without a checkpoint."""
        return self.manager.best_step()

    def close(self) -> None:
        """Wait until everything is on disk."""
        self.manager.wait_until_finished()
        self.manager.close()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Orbax's readers from printing what is raised as well."""
    loggers = [logging.getLogger("asyncio"), logging.getLogger("absl")]
    levels = [logger.level for logger in loggers]
    hook, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
        gc.collect()
    finally:
        sys.unraisablehook = hook
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
