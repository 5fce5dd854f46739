"""What the loop costs: `fit` with data, metrics and checkpoints against the bare step.

    python -m bench.loop

LeNet-5, batch 128. The bare step is the same compiled program fed one batch that is on the device
already. Both are timed in turn, in one process; the table gives the ratio of each pair and their
median. `fit` is timed from its first log line to its last, so that start-up is not counted.
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
from train.placement import JitMesh

STEPS, PAIRS = 300, 5


def bare(config, experiment) -> float:
    """Seconds a step of the compiled program alone."""
    devices = JitMesh(config.batch_size)
    batch = devices.put_batch([experiment.train(0)])
    state, window = devices.init(experiment, 0, experiment.train(0))
    step = devices.compile(experiment)
    state, _ = step(state, window, batch)
    jax.block_until_ready(state)
    began = time.perf_counter()
    for _ in range(STEPS):
        state, _ = step(state, window, batch)
    jax.block_until_ready(state)
    return (time.perf_counter() - began) / STEPS


def whole(config, experiment) -> float:
    """Seconds a step of `fit`, between the first log line and the last."""
    times = []

    class Timed(recorder.Metrics):
        def speed(self, step):
            times.append((step, time.perf_counter()))

    metrics, recorder.Metrics = recorder.Metrics, Timed
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
            alone, fitted = bare(config, experiment), whole(config, experiment)
            ratios.append(fitted / alone)
            tqdm.write(f"{alone * 1e3:12.2f}  {fitted * 1e3:6.2f}  {ratios[-1]:5.3f}")
        print(f"{name}: median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
