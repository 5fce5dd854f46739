"""Training steps of convolutional networks: ours, with Flax's convolution, and in PyTorch.

    python -m bench.convolution
    python -m bench.convolution --save=bench/convolution.md

LeNet-5 on images 32x32 with Adam, and the residual network of experiments/convnet.py on images
28x28 with AdamW; batches of 128 given, whole steps, timed in turn in one process. The ratio is the
median over rounds of (the other's time / ours): above 1 we are faster.
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np

from bench import pytorch_networks
from bench.tables import arguments, publish
from bench.timing import Run, compared, in_turn, training
from experiments import convnet, lenet5
from nets.convolution import conv
from train.placement import JitMesh
from train.process import keep_freed_memory
from train.task import Experiment

BATCH, STEPS = 128, 10
RESIDUAL = convnet.Config(batch_size=BATCH, image_size=28)
Draw = Callable[[int], dict[str, np.ndarray]]


def images_of(size: int) -> Draw:
    """Return the function that makes a batch of a step: noise and labels."""

    def drawn(number: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(number)
        images = rng.random((BATCH, size, size, 1), np.float32)
        return {"image": images, "label": rng.integers(10, size=BATCH).astype(np.int32)}

    return drawn


def with_flax(experiment: Experiment) -> Run:
    """Make a function that takes some steps with XLA's convolution everywhere."""
    with mock.patch.object(conv, "convolve_cpu", conv.by_lax):
        return training(experiment, JitMesh(BATCH), 1, STEPS)


def pytorch(network, optimizer, drawn: Draw, smoothing: float = 0.0) -> Run:
    """Make a function that takes some steps in PyTorch."""
    batches = [drawn(number) for number in range(STEPS)]

    def run():
        for batch in batches:
            loss = pytorch_networks.take_step(network, optimizer, batch, smoothing)
        return loss.item()

    return run


def table(name: str, experiment: Experiment, rounds: int, other: Run | None):
    """Lines of a network's table; other: its run in PyTorch, where that is installed."""
    runs = {"ours": training(experiment, JitMesh(BATCH), 1, STEPS), "Flax": with_flax(experiment)}
    if other:
        runs["PyTorch"] = other
    lines = compared(in_turn(runs, rounds), STEPS)
    return [{name: line[""], **{k: v for k, v in line.items() if k}} for line in lines]


def main() -> None:
    """Print the tables."""
    options = arguments(__doc__).parse_args()
    keep_freed_memory()  # as every command of an experiment does
    small, large = images_of(32), images_of(28)
    plain = replace(lenet5.build(lenet5.Config(batch_size=BATCH)), train=small)
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
            pytorch(second, adamw, large, RESIDUAL.smoothing),
        ]
    tables = [
        table("LeNet-5", plain, options.rounds, others[0]),
        table("Residual", residual, options.rounds, others[1]),
    ]
    publish("convolution", "Training steps of convolutional networks", tables, options.save)


if __name__ == "__main__":
    main()
