"""Speed-up of several seeds in one program over the same runs one after another.

    python -m bench.replicas
    python -m bench.replicas --save=bench/replicas.md

Only the step is timed, with the experiments' default sizes, alternately with the step of one run.
A speed-up of 1.0 equals one run after another. The runs are divided over all devices.
"""

import statistics

import jax

from bench.tables import arguments, publish
from bench.timing import in_turn, ratio, training
from experiments import char_lm, lenet5
from train.placement import Placement
from train.replicas import Replicas

COUNTS, STEPS = (2, 4, 8), 20


def main() -> None:
    """Print the table."""
    args = arguments(__doc__).parse_args()
    count, lines = jax.device_count(), []
    for module in (lenet5, char_lm):
        config = module.Config()
        experiment = module.build(config)
        single = Placement(config.batch_size, jax.devices()[:1])
        functions = {"1": training(experiment, single, 1, STEPS)}
        for runs in [runs for runs in COUNTS if runs % count == 0]:
            functions[str(runs)] = training(experiment, Replicas([{}] * runs), runs, STEPS)
        seconds = in_turn(functions, args.rounds)
        for name, times in seconds.items():
            line = {"experiment": module.__name__.split(".")[1], "runs": name}
            line["ms per joint step"] = f"{statistics.median(times) / STEPS * 1e3:.2f}"
            line["speed-up"] = f"{int(name) * ratio(seconds['1'], times):.2f}"
            lines.append(line)
    publish("replicas", f"Several seeds in one program, {count} device(s)", [lines], args.save)


if __name__ == "__main__":
    main()
