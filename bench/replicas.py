"""What several seeds in one program gain: runs a second against one run after the other.

    python -m bench.replicas

The step alone, at the experiments' own sizes, timed in turn with that of one run. 1.0: as fast as
one run after the other; above: faster. Spread over all devices.
"""

import statistics
import sys
import time
from collections.abc import Callable

import jax
from tqdm import tqdm

from experiments import char_lm, lenet5
from train.parallel import JitMesh
from train.replicas import Replicas

COUNTS, STEPS, ROUNDS = (2, 4, 8), 20, 5


def stepper(
    experiment, devices: JitMesh, seeds: int, steps: int = STEPS, clock=time.perf_counter
) -> Callable[[], float]:
    """Compile the step; return a function that takes some and gives the seconds of one."""
    first = experiment.train(0)
    make = devices.initializer(experiment, first)
    states, windows = zip(*map(make, range(seeds)), strict=True)
    state, window = devices.spread(states), devices.copy(windows)
    step, batch = devices.compile(experiment), devices.put_batch([first] * seeds)

    def seconds() -> float:
        nonlocal state, window
        began = clock()
        for _ in range(steps):
            state, window = step(state, window, batch)
        jax.block_until_ready(state)
        return (clock() - began) / steps

    seconds()  # compiles
    return seconds


def main() -> None:
    """Print the table."""
    count = jax.device_count()
    print(f"{count} device(s): {jax.devices()[0].device_kind}")
    print(f"{'experiment':<12}{'runs':>6}{'one, ms':>10}{'all, ms':>10}{'gain':>7}")
    for module in (lenet5, char_lm):
        config = module.Config()
        experiment = module.build(config)
        one = stepper(experiment, JitMesh(config.batch_size, jax.devices()[:1]), 1)
        for runs in [runs for runs in COUNTS if runs % count == 0]:
            together = stepper(experiment, Replicas([{}] * runs), runs)
            rounds = tqdm(range(ROUNDS), disable=not sys.stderr.isatty(), leave=False)
            pairs = [(one(), together()) for _ in rounds]
            alone, whole = (statistics.median(times) for times in zip(*pairs, strict=True))
            gain = statistics.median(runs * a / b for a, b in pairs)
            name = module.__name__.split(".")[1]
            print(f"{name:<12}{runs:>6}{alone * 1e3:>10.2f}{whole * 1e3:>10.2f}{gain:>7.2f}")


if __name__ == "__main__":
    main()
