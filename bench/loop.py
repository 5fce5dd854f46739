"""Overhead of the loop: `fit` with data, metrics and checkpoints against the bare step.

    python -m bench.loop

The bare step is the same compiled program on one batch that is already on the device. It and `fit`
with several settings are timed in turn, in one process; the table has the median and the quartiles
of the ratios of each round. `fit` is timed from its first logged line to its last, which excludes
the start-up. "host" is the processor time of the loop's own thread, in milliseconds a step.
"""

import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from bench.tables import arguments, markdown, publish
from experiments import char_lm, lenet5, word2vec
from train import loop, recorder
from train.config import RunConfig
from train.placement import Placement
from train.process import keep_freed_memory
from train.task import Experiment

PLAIN = {"shift": 0.0, "scale": 0.0}
NETWORKS: Mapping[str, tuple[ModuleType, Mapping[str, Any]]] = {
    "LeNet-5": (lenet5, PLAIN),
    "LeNet-5, augmented": (lenet5, {"shift": 2.0, "scale": 0.1}),
    "char_lm": (char_lm, {}),
    "word2vec": (word2vec, {}),
}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "one step a call": {"steps_per_call": 1},
    "eight": {"steps_per_call": 8},
    "resident": {"steps_per_call": 1, "resident": "always"},
    "eight, resident": {"steps_per_call": 8, "resident": "always"},
}


def time_step(config: RunConfig, experiment: Experiment, steps: int) -> float:
    """Seconds per step of the compiled program alone."""
    devices = Placement(config.batch_size)
    batch = devices.put_batch(experiment.train(0))
    state, window = devices.init(experiment, 0, experiment.train(0))
    step = devices.compile(experiment)
    state, _ = step(state, window, batch)
    jax.block_until_ready(state)
    began = time.perf_counter()
    for _ in range(steps):
        state, _ = step(state, window, batch)
    jax.block_until_ready(state)
    return (time.perf_counter() - began) / steps


def time_fit(config: RunConfig, experiment: Experiment) -> tuple[float, float]:
    """Seconds, and seconds of the loop's thread, per step of `fit` between its logged lines."""
    times = []

    class TimedMetrics(recorder.Metrics):
        def speed(self, step: int, batch_size: int) -> str:
            times.append((step, time.perf_counter(), time.thread_time()))
            return super().speed(step, batch_size)

    metrics, recorder.Metrics = recorder.Metrics, TimedMetrics
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            loop.fit(experiment, config, Path(folder))
    finally:
        recorder.Metrics = metrics
    (first, began, used), (last, ended, used_at_end) = times[0], times[-1]
    return (ended - began) / (last - first), (used_at_end - used) / (last - first)


def timed(steps: int) -> dict[str, Any]:
    """Settings of a run with `steps` timed steps: a checkpoint on the way, but no evaluation."""
    return {
        "steps": steps + 50,
        "eval_every": 10 * steps,
        "save_every": steps - 50,
        "figures_at": (),
    }


def table(name: str, steps: int, rounds: int) -> list[dict[str, str]]:
    """Lines of a network: one for the bare step, and one for `fit` with each of the settings."""
    module, changes = NETWORKS[name]
    config = module.Config(**timed(steps), **changes)
    experiment = module.build(config)
    bare, fits = [], {setting: [] for setting in SETTINGS}
    for _ in tqdm(range(rounds), name, disable=not sys.stderr.isatty()):
        bare.append(time_step(config, experiment, steps))
        for setting, values in SETTINGS.items():
            fits[setting].append(time_fit(replace(config, **values), experiment))
    lines = [{name: "bare step", "ms a step": f"{np.median(bare) * 1e3:.2f}"}]
    for setting, found in fits.items():
        times, host = np.array(found).T
        low, middle, high = np.quantile(times / bare, (0.25, 0.5, 0.75))
        lines.append(
            {
                name: setting,
                "ms a step": f"{np.median(times) * 1e3:.2f}",
                "ratio": f"{middle:.3f} ({low:.3f} to {high:.3f})",
                "host": f"{np.median(host) * 1e3:.2f}",
            }
        )
    return [{key: line.get(key, "") for key in lines[-1]} for line in lines]


def main() -> None:
    """Print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--steps", type=int, default=300, help="timed steps")
    parser.add_argument("--networks", nargs="*", default=NETWORKS, choices=NETWORKS)
    options = parser.parse_args()
    keep_freed_memory()  # as every command of an experiment does
    tables = []
    for name in options.networks:
        tables.append(table(name, options.steps, options.rounds))
        tqdm.write(markdown(tables[-1]), file=sys.stderr)
    publish("loop", "Overhead of the training loop", tables, options.save)


if __name__ == "__main__":
    main()
