"""Overhead of the loop: `fit` with data, metrics and checkpoints against the bare step.

    python -m bench.loop

LeNet-5, batch 128. The bare step is the same compiled program on one batch that is already on the
device. Both are timed alternately, in one process; the table has the ratio of each pair and the
median ratio. `fit` is timed from its first logged line to its last, which excludes the start-up.
"""

import contextlib
import io
import statistics
import sys
import tempfile
import time
from pathlib import Path

import jax
from tqdm import tqdm

from experiments import lenet5
from train import loop, recorder
from train.config import RunConfig
from train.placement import Placement
from train.task import Experiment

STEPS, PAIRS = 300, 5


def time_step(config: RunConfig, experiment: Experiment) -> float:
    """Seconds per step of the compiled program alone."""
    devices = Placement(config.batch_size)
    batch = devices.put_batch(experiment.train(0))
    state, window = devices.init(experiment, 0, experiment.train(0))
    step = devices.compile(experiment)
    state, _ = step(state, window, batch)
    jax.block_until_ready(state)
    began = time.perf_counter()
    for _ in range(STEPS):
        state, _ = step(state, window, batch)
    jax.block_until_ready(state)
    return (time.perf_counter() - began) / STEPS


def time_fit(config: RunConfig, experiment: Experiment) -> float:
    """Seconds per step of `fit`, between the first and the last logged line."""
    times = []

    class TimedMetrics(recorder.Metrics):
        def speed(self, step: int) -> None:
            times.append((step, time.perf_counter()))

    metrics, recorder.Metrics = recorder.Metrics, TimedMetrics
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            loop.fit(experiment, config, Path(folder))
    finally:
        recorder.Metrics = metrics
    (first, began), (last, ended) = times[0], times[-1]
    return (ended - began) / (last - first)


def main() -> None:
    """Print the table."""
    steps = STEPS + 50
    print(f"LeNet-5, {STEPS} steps, {jax.device_count()} device(s)")
    for name, shift, scale in (("plain images", 0.0, 0.0), ("augmented images", 2.0, 0.1)):
        config = lenet5.Config(
            steps=steps,
            eval_every=10 * steps,
            save_every=250,
            figures_at=(),
            shift=shift,
            scale=scale,
        )
        experiment = lenet5.build(config)
        ratios = []
        print(f"{name}: bare step ms, fit ms, ratio")
        for _ in tqdm(range(PAIRS), disable=not sys.stderr.isatty()):
            step, fit = time_step(config, experiment), time_fit(config, experiment)
            ratios.append(fit / step)
            tqdm.write(f"{step * 1e3:12.2f}  {fit * 1e3:6.2f}  {ratios[-1]:5.3f}")
        print(f"{name}: median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
