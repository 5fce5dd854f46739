"""Shares of the machine for concurrent runs: separate cores and separate GPUs."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def share(items: Sequence[T], slot: int, workers: int) -> Sequence[T]:
    """Share of worker `slot`; empty with one worker, and with more workers than items."""
    return items[slot::workers] if 1 < workers <= len(items) else []


def visible_gpus() -> list[str]:
    """NVIDIA GPUs that may be used, by their names in CUDA_VISIBLE_DEVICES."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name]
    return [str(i) for i, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]


def gpu_variables(slot: int, workers: int) -> dict[str, str]:
    """Environment variables that restrict a worker to its GPUs; empty when it may use all."""
    gpus = share(visible_gpus(), slot, workers)
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}


@contextlib.contextmanager
def own_cores(slot: int, workers: int) -> Iterator[None]:
    """Start processes on the cores of a worker; a child inherits those of the starting thread."""
    all_cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    cores = share(all_cores, slot, workers)
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        if cores:
            os.sched_setaffinity(0, all_cores)
