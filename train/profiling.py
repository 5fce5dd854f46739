"""A trace of some steps by JAX's profiler, for TensorBoard or Perfetto."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax


@contextlib.contextmanager
def traced(steps: range, workdir: Path) -> Iterator[Callable[[int, Any], None]]:
    """Yield trace(step, output), to call before each step with the last output.

    step: number of steps taken. The steps of the range are traced into `workdir`/profile; after the
    last one, and at the end in any case, the trace is written.
    """
    folder, running = workdir / "profile", False

    def stop() -> None:
        nonlocal running
        if running:
            running = False
            jax.profiler.stop_trace()
            print(f"profile: {folder}", flush=True)

    def trace(step: int, output: Any) -> None:
        nonlocal running
        if running and step + 1 not in steps:
            jax.block_until_ready(output)
            stop()
        elif not running and step + 1 in steps:
            running = True
            jax.profiler.start_trace(str(folder))

    try:
        yield trace
    finally:
        stop()
