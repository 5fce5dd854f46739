"""Alternating timing: a temporary slowdown of the machine affects everything that is compared."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import jax
from tqdm import tqdm

from train.placement import Placement
from train.process import keep_freed_memory
from train.replicas import Replicas
from train.task import Experiment

PAUSE = 0.02  # seconds
NOISY = 1.5  # ratio of the quartiles of a run's times above which all are timed again
TRIES = 3

Run = Callable[[], object]
Clock = Callable[[], float]


def in_turn(
    runs: Mapping[str, Run], rounds: int, clock: Clock = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each run in each round, after two rounds of warm-up.

    Each run starts after a pause, since the threads of the previous one keep spinning for a while,
    especially those of PyTorch. Freed memory stays in the process, as in every experiment; it helps
    other libraries, too. When the times of a run are noisy, all are timed again; after TRIES times
    the calmest are returned.
    """
    keep_freed_memory()
    tries: list[dict[str, list[float]]] = []
    while not tries or (noise(tries[-1]) > NOISY and len(tries) < TRIES):
        tries.append(_in_turn(runs, rounds, clock))
    return min(tries, key=noise)


def noise(seconds: Mapping[str, Sequence[float]]) -> float:
    """Largest ratio, over the runs, of the upper to the lower quartile of its times."""
    return max((quartiles(times)[2] / quartiles(times)[0] for times in seconds.values()), default=1)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of at least one value."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def _in_turn(runs: Mapping[str, Run], rounds: int, clock: Clock) -> dict[str, list[float]]:
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
    """Median over rounds of numerator / denominator."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def spread(numerator: Sequence[float], denominator: Sequence[float]) -> str:
    """Median and quartiles over rounds of numerator / denominator."""
    ratios = [a / b for a, b in zip(numerator, denominator, strict=True)]
    low, middle, high = quartiles(ratios)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def compared(seconds: Mapping[str, Sequence[float]], steps: int) -> list[dict[str, str]]:
    """Lines of a table: milliseconds per step of runs of `steps` steps, and the ratio to "ours"."""
    return [
        {
            "": name,
            "ms a step": f"{statistics.median(times) / steps * 1e3:.2f}",
            "time / ours": spread(times, seconds["ours"]),
        }
        for name, times in seconds.items()
    ]


def training(experiment: Experiment, devices: Placement, runs: int, steps: int) -> Run:
    """Compile the step of an experiment; return a function that takes `steps` of them.

    runs: number of states that `devices` trains in one program. The batches are those of steps
    0, 1, ...
    """
    several = isinstance(devices, Replicas)
    batches = [
        devices.put_batch([batch] * runs if several else batch)
        for batch in map(experiment.train, range(steps))
    ]
    make = devices.initializer(experiment, experiment.train(0))
    pairs = [make(seed) for seed in range(runs)]
    states, windows = zip(*pairs, strict=True) if several else pairs[0]
    state, window = devices.spread(states), devices.copy(windows)
    step = devices.compile(experiment)
    state, window = step(state, window, batches[0])

    def run() -> object:
        nonlocal state, window
        for batch in batches:
            state, window = step(state, window, batch)
        return state

    return run
