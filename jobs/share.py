"""What of the machine a run gets when several go on at a time: its own cores, its own GPUs."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def part(things: Sequence[T], slot: int, workers: int) -> Sequence[T]:
    """Share of worker `slot`; nothing when it cannot be divided, or need not be."""
    return things[slot::workers] if 1 < workers <= len(things) else []


def visible_gpus() -> list[str]:
    """NVIDIA's GPUs that may be used, by the names that CUDA_VISIBLE_DEVICES gives them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name]
    return [str(i) for i, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]


def gpu_variables(slot: int, workers: int) -> dict[str, str]:
    """Variables that show a worker its own GPUs; none where it sees them all."""
    own = part(visible_gpus(), slot, workers)
    return {"CUDA_VISIBLE_DEVICES": ",".join(own)} if own else {}


@contextlib.contextmanager
def own_cores(slot: int, workers: int) -> Iterator[None]:
    """Start processes on the cores of a worker: a child has those of the thread that starts it."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    own = part(cores, slot, workers)
    if own:
        os.sched_setaffinity(0, own)
    try:
        yield
    finally:
        if own:
            os.sched_setaffinity(0, cores)
