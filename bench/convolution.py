"""Training steps of convolutional networks: ours, with Flax's convolution, and in PyTorch.

    python -m bench.convolution
    python -m bench.convolution --save=bench/convolution.md

LeNet-5 (variant=modern) on 32x32 images with Adam, and the residual network of
experiments/convnet.py on 28x28 images with AdamW, in batches of 128. Whole steps on given batches,
timed alternately in one process. The ratio is the median over rounds of (the other's time / ours):
above 1, ours is faster.
"""

import importlib
import importlib.util
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np

from bench import pytorch_networks
from bench.tables import arguments, publish
from bench.timing import Run, compared, in_turn, training
from data.epochs import ALL, Batch, Rows, take_rows
from experiments import convnet, lenet5
from nets.convolution import conv
from train.placement import Placement
from train.task import Experiment, Source

BATCH, STEPS = 128, 10
RESIDUAL = convnet.Config(batch_size=BATCH, image_size=28)


def images_of(size: int) -> Source:
    """Return a function from the number of a step to its batch of random images and labels."""

    def draw(number: int, rows: Rows = ALL) -> Batch:
        rng = np.random.default_rng(number)
        images = rng.random((BATCH, size, size, 1), np.float32)
        labels = rng.integers(10, size=BATCH).astype(np.int32)
        return take_rows({"image": images, "label": labels}, rows)

    return draw


def with_flax(experiment: Experiment) -> Run:
    """Return a function that takes STEPS steps with XLA's convolution in every layer."""
    with mock.patch.object(conv, "convolve_cpu", conv.xla_convolution):
        return training(experiment, Placement(BATCH), 1, STEPS)


def pytorch(network, optimizer, draw: Source, smoothing: float = 0.0) -> Run:
    """Return a function that takes STEPS steps in PyTorch."""
    batches = [draw(number) for number in range(STEPS)]

    def run():
        for batch in batches:
            loss = pytorch_networks.take_step(network, optimizer, batch, smoothing)
        return loss.item()

    return run


def table(name: str, experiment: Experiment, rounds: int, other: Run | None):
    """Return the lines of a network's table; other: its run in PyTorch, None if not installed."""
    runs = {"ours": training(experiment, Placement(BATCH), 1, STEPS), "Flax": with_flax(experiment)}
    if other:
        runs["PyTorch"] = other
    lines = compared(in_turn(runs, rounds), STEPS)
    return [{name: line[""], **{k: v for k, v in line.items() if k}} for line in lines]


def main() -> None:
    """Print the tables."""
    options = arguments(__doc__).parse_args()
    small, large = images_of(32), images_of(28)
    plain = replace(lenet5.build(lenet5.Config(variant="modern", batch_size=BATCH)), train=small)
    residual = replace(convnet.build(RESIDUAL), train=large)
    others: list[Run | None] = [None, None]
    if importlib.util.find_spec("torch"):
        optim: Any = importlib.import_module("torch.optim")
        first = pytorch_networks.lenet()
        sizes = (RESIDUAL.channels, RESIDUAL.stages, RESIDUAL.blocks)
        second = pytorch_networks.convnet(*sizes, RESIDUAL.dropout)
        adamw = optim.AdamW(second.parameters(), weight_decay=RESIDUAL.weight_decay)
        others = [
            pytorch(first, optim.Adam(first.parameters()), small),
            pytorch(second, adamw, large, RESIDUAL.label_smoothing),
        ]
    tables = [
        table("LeNet-5", plain, options.rounds, others[0]),
        table("Residual", residual, options.rounds, others[1]),
    ]
    publish("convolution", "Training steps of convolutional networks", tables, options.save)


if __name__ == "__main__":
    main()
