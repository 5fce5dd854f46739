"""Time of a training step of word_lm with full, sampled and adaptive softmax, by vocabulary size.

    taskset -c 0 python -m bench.softmax            print the table, measured on one core
    taskset -c 0 python -m bench.softmax --save=bench/softmax.md

Whole steps of the preset zaremba_small: an LSTM of 2 x 200 units, batch 20, clipping, plain SGD,
both tables updated densely. Words are drawn by Zipf's law, P(word of rank r) ~ 1 / r, which
determines how much work the clusters of the adaptive softmax have. The softmaxes are timed
alternately in one process, in CPU time: on one core, that is the duration of a step on an otherwise
idle machine. The table has medians, and those of the ratios of the full softmax to the others.
"""

import os
import statistics
import sys
import time

import jax
import numpy as np

from bench.tables import arguments, publish
from bench.timing import in_turn, ratio, training
from data.text.streams import TrainingStreams
from experiments import word_lm
from train.optimizer import make_optimizer
from train.placement import Placement
from train.task import Experiment

VOCABULARIES, WINDOWS = (10_000, 100_000), (20, 35)
SOFTMAXES = ("full", "full, tied", "sampled", "sampled, tied", "adaptive")


def experiment(vocabulary: int, window: int, softmax: str) -> Experiment:
    """Return an experiment that trains on words drawn by Zipf's law."""
    kind, *tied = softmax.split(", ")
    settings = {
        **word_lm.Config.PRESETS["zaremba_small"],
        "bptt_length": window,
        "tie_embeddings": bool(tied),
    }
    config = word_lm.Config(**settings, softmax=kind)
    weights = 1 / np.arange(1, vocabulary + 1)
    ids = np.random.default_rng(0).choice(vocabulary, 20 * window + 1, p=weights / weights.sum())
    streams = TrainingStreams(ids.astype(np.int32), config.batch_size, window, config.seed)
    model = word_lm.network(config, vocabulary)
    task = word_lm.NextWord(model, None, config, "word", ())
    return Experiment(task, make_optimizer(config), streams, {})


def main() -> None:
    """Print the table, and write it to the file of --save."""
    options = arguments(__doc__).parse_args()
    devices, lines = Placement(20, jax.devices()[:1]), []
    for vocabulary in VOCABULARIES:
        for window in WINDOWS:
            runs = {
                softmax: training(experiment(vocabulary, window, softmax), devices, 1, 1)
                for softmax in SOFTMAXES
            }
            seconds = in_turn(runs, options.rounds, time.process_time)
            line = {"V": f"{vocabulary:,}", "T": str(window)}
            line |= {f"{s}, ms": f"{statistics.median(t) * 1e3:.0f}" for s, t in seconds.items()}
            full = seconds.pop("full")
            line |= {f"full / {s}": f"{ratio(full, t):.2f}" for s, t in seconds.items()}
            lines.append(line)
            print("  ".join(line.values()), file=sys.stderr, flush=True)
    cores = len(os.sched_getaffinity(0))
    publish("softmax", f"A training step of word_lm, {cores} core(s)", [lines], options.save)


if __name__ == "__main__":
    main()
