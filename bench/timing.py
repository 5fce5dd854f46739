"""Timing in turn: what slows the machine for a while slows all that is compared."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import jax
from tqdm import tqdm

from train.placement import JitMesh
from train.task import Experiment

PAUSE = 0.02  # seconds

Run = Callable[[], object]
Clock = Callable[[], float]


def in_turn(
    runs: Mapping[str, Run], rounds: int, clock: Clock = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each run in each round, after two rounds that do not count.

    Threads of a run spin for a while after it, PyTorch's above all: each starts after a pause.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for count in tqdm(range(rounds + 2), disable=not sys.stderr.isatty(), leave=False):
        for name, run in runs.items():
            time.sleep(PAUSE)
            began = clock()
            jax.block_until_ready(run())
            if count >= 2:
                seconds[name].append(clock() - began)
    return seconds


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Median of the ratios of each round."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def compared(seconds: Mapping[str, Sequence[float]], steps: int) -> list[dict[str, str]]:
    """Lines of a table: milliseconds of one of so many steps, and the ratio to those of "ours"."""
    return [
        {
            "": name,
            "ms a step": f"{statistics.median(times) / steps * 1e3:.2f}",
            "time / ours": f"{ratio(times, seconds['ours']):.2f}",
        }
        for name, times in seconds.items()
    ]


def training(experiment: Experiment, devices: JitMesh, runs: int, steps: int) -> Run:
    """Compile an experiment's step now; return a function that takes some of them.

    runs: how many states `devices` trains in one program. The batches are those of steps 0, 1, ...
    """
    batches = [devices.put_batch([experiment.train(i)] * runs) for i in range(steps)]
    make = devices.initializer(experiment, experiment.train(0))
    states, windows = zip(*map(make, range(runs)), strict=True)
    state, window = devices.spread(states), devices.copy(windows)
    step = devices.compile(experiment)
    state, window = step(state, window, batches[0])

    def run():
        nonlocal state, window
        for batch in batches:
            state, window = step(state, window, batch)
        return state

    return run
