"""What several seeds in one program gain: runs a second against one run after the other.

    python -m bench.replicas
    python -m bench.replicas --save=bench/replicas.md

The step alone, at the experiments' own sizes, timed in turn with that of one run. 1.0: as fast as
one run after the other; above: faster. Spread over all devices.
"""

import statistics

import jax

from bench.tables import arguments, publish
from bench.timing import in_turn, ratio, training
from experiments import char_lm, lenet5
from train.placement import JitMesh
from train.process import keep_freed_memory
from train.replicas import Replicas

COUNTS, STEPS = (2, 4, 8), 20


def main() -> None:
    """Print the table."""
    given = arguments(__doc__).parse_args()
    keep_freed_memory()  # as every command of an experiment does
    count, lines = jax.device_count(), []
    for module in (lenet5, char_lm):
        config = module.Config()
        experiment = module.build(config)
        alone = JitMesh(config.batch_size, jax.devices()[:1])
        runs = {"1": training(experiment, alone, 1, STEPS)}
        for together in [together for together in COUNTS if together % count == 0]:
            replicas = Replicas([{}] * together)
            runs[str(together)] = training(experiment, replicas, together, STEPS)
        seconds = in_turn(runs, given.rounds)
        for together, times in seconds.items():
            line = {"experiment": module.__name__.split(".")[1], "runs": together}
            line["ms a step of all"] = f"{statistics.median(times) / STEPS * 1e3:.2f}"
            line["gain"] = f"{int(together) * ratio(seconds['1'], times):.2f}"
            lines.append(line)
    publish("replicas", f"Several seeds in one program, {count} device(s)", [lines], given.save)


if __name__ == "__main__":
    main()
