"""A trace of some steps by JAX's profiler, for TensorBoard or Perfetto."""

from pathlib import Path
from typing import Any

import jax


class Profiler:
    """Traces the steps of a range into a folder; the range may be empty."""

    def __init__(self, steps: range, folder: Path):
        self.steps, self.folder = steps, folder
        self.running = False

    def before(self, step: int) -> None:
        """Start the trace if `step`, the next one, is the first of the range."""
        if step in self.steps and not self.running:
            jax.profiler.start_trace(str(self.folder))
            self.running = True

    def after(self, step: int, output: Any) -> None:
        """Stop the trace if `step`, which computes `output`, is the last of the range."""
        if self.running and step + 1 not in self.steps:
            jax.block_until_ready(output)
            self.close()
            print(f"profile: {self.folder}", flush=True)

    def close(self) -> None:
        """Stop the trace if it runs."""
        if self.running:
            self.running = False
            jax.profiler.stop_trace()
