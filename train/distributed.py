"""Several processes of one run, on one machine or many: how they meet, who writes, when they stop.

Every process takes every step and reaches every decision by itself, from the same files and the
same batches; only what is measured, drawn and said comes from the first alone.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax
from jax.experimental import multihost_utils

from .config import ConfigError


def connect() -> None:
    """Meet the other processes, before JAX is used; from here on the first alone prints metrics.

    Slurm's steps, TPU pods and others are found by JAX itself; plain processes are told by
    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID. Raises ConfigError when the
    others cannot be found.
    """
    count, place = (os.environ.get(f"JAX_{name}") for name in ("NUM_PROCESSES", "PROCESS_ID"))
    try:
        jax.distributed.initialize(
            num_processes=int(count) if count else None, process_id=int(place) if place else None
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"config.distributed: no other process was found: {reason}") from error
    if jax.process_index() > 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def writable(workdir: Path) -> Iterator[Path]:
    """Give the folder that this process writes to: the run's own for the first process alone.

    The others get one that is thrown away. Checkpoints are written to the run's own by all of them,
    a part each, so it must be on a file system that all see.
    """
    if jax.process_index() == 0:
        yield workdir
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


def must_stop(stopped: list[int], step: int) -> bool:
    """Say whether to stop before `step`: all processes of a run give the same answer.

    stopped: signals that this process has had. Those of other processes come through JAX, which
    listens to SIGTERM itself.
    """
    if jax.process_count() == 1:
        return bool(stopped)
    return multihost_utils.reached_preemption_sync_point(step)


def meet(where: str) -> None:
    """Wait until every process of the run is there."""
    multihost_utils.sync_global_devices(where)
