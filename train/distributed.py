"""Several processes of one run, on one machine or many: connecting, writing and stopping.

Every process takes every step and makes every decision by itself, from the same files and the
same batches; only the first process writes metrics, figures and messages.
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
    """Connect to the other processes, before JAX is used; only the first prints metrics afterwards.

    JAX detects the processes of Slurm steps, TPU pods and others by itself; plain processes need
    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID. Raises ConfigError when the
    others do not answer.
    """
    count, index = (os.environ.get(f"JAX_{name}") for name in ("NUM_PROCESSES", "PROCESS_ID"))
    try:
        jax.distributed.initialize(
            num_processes=int(count) if count else None, process_id=int(index) if index else None
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"config.distributed: cannot connect to the other processes: {reason}"
        ) from error
    if jax.process_index() > 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def writable(workdir: Path) -> Iterator[Path]:
    """Yield the folder that this process writes to: `workdir` in the first process alone.

    The other processes get a temporary folder. All of them write their shards of a checkpoint to
    `workdir`, so it must be on a shared file system.
    """
    if jax.process_index() == 0:
        yield workdir
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


def should_stop(received: list[int], call: int) -> bool:
    """Return whether to stop before a call of the step; all processes of a run return the same.

    received: signals that this process has received. Those of other processes come through JAX,
    which listens to SIGTERM itself. call: its number, counted from 0 without gaps, since JAX
    compares it for equality.
    """
    if jax.process_count() == 1:
        return bool(received)
    return multihost_utils.reached_preemption_sync_point(call)


def barrier(name: str) -> None:
    """Wait until every process of the run has reached this barrier."""
    multihost_utils.sync_global_devices(name)
