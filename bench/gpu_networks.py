"""Training steps on a GPU: LeNet-5 and the residual network, also in PyTorch; replicas; the loop.

    python -m bench.gpu_networks --save=FOLDER/networks.json

The networks and batches are those of bench.convolution; here the batches are on the device before.
Replicas are 1, 8 and 32 seeds of LeNet-5 in one program, as in bench.replicas. The loop takes 1, 8
and 64 steps of LeNet-5 in one call of its program.
"""

import importlib
import importlib.util
import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench import pytorch_networks
from bench.convolution import BATCH, RESIDUAL, images_of
from bench.gpu_lines import Line, Lines, milliseconds
from bench.loop import time_fit, timed
from bench.timing import Run, in_turn, ratio, training
from experiments import convnet, lenet5
from train.placement import Placement
from train.replicas import Replicas
from train.task import Experiment

COUNTS = (1, 8, 32)
CALLS = (1, 8, 64)


def pytorch(
    network: Any, make: Callable[[Any], Any], size: int, steps: int, smoothing: float
) -> Run:
    """Return a function that takes steps in PyTorch, on the GPU if there is one."""
    torch: Any = importlib.import_module("torch")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = network.to(device)
    optimizer = make(network.parameters())
    batches = [
        {name: torch.tensor(x, device=device) for name, x in images_of(size)(number).items()}
        for number in range(steps)
    ]

    def run() -> float:
        for batch in batches:
            loss = pytorch_networks.take_step(network, optimizer, batch, smoothing)
        return loss.item()

    return run


def steps_of(experiment: Experiment, other: Run | None, steps: int, rounds: int) -> list[Line]:
    """Lines of a network; other: its run in PyTorch."""
    runs = {"ours": training(experiment, Placement(BATCH), 1, steps)}
    if other:
        runs["PyTorch"] = other
    return milliseconds(in_turn(runs, rounds), steps, "ours")


def replicas(count: int, steps: int, rounds: int) -> list[Line]:
    """Time of a joint step of several seeds of LeNet-5 and the speed-up over single runs."""
    config = lenet5.Config()
    experiment = lenet5.build(config)
    runs = {"single": training(experiment, Placement(config.batch_size), 1, steps)}
    runs["joint"] = training(experiment, Replicas([{}] * count), count, steps)
    seconds = in_turn(runs, rounds)
    speed_up = count * ratio(seconds["single"], seconds["joint"])
    joint = statistics.median(seconds["joint"]) / steps * 1e3
    return [{"ms a step": f"{joint:.3f}", "speed-up": f"{speed_up:.2f}"}]


def whole_loop(calls: int, steps: int) -> list[Line]:
    """Steps a second of training LeNet-5, with data, metrics and checkpoints, and the host's time.

    calls: steps in one call of the program. On a GPU the training data stay on it.
    """
    config = lenet5.Config(**timed(steps), steps_per_call=calls)
    seconds, host = time_fit(config, lenet5.build(config))
    return [{"steps a second": f"{1 / seconds:.0f}", "host ms a step": f"{host * 1e3:.3f}"}]


def main() -> None:
    """Measure the networks, the replicas and the loop."""
    lines = Lines(__doc__)
    steps = 2 if lines.tiny else 100
    plain = replace(
        lenet5.build(lenet5.Config(variant="modern", batch_size=BATCH)), train=images_of(32)
    )
    residual = replace(convnet.build(RESIDUAL), train=images_of(28))
    others: list[Run | None] = [None, None]
    if importlib.util.find_spec("torch"):
        optim: Any = importlib.import_module("torch.optim")
        sizes = (RESIDUAL.channels, RESIDUAL.stages, RESIDUAL.blocks)
        others = [
            pytorch(pytorch_networks.lenet(), optim.Adam, 32, steps, 0.0),
            pytorch(
                pytorch_networks.convnet(*sizes, RESIDUAL.dropout),
                lambda parameters: optim.AdamW(parameters, weight_decay=RESIDUAL.weight_decay),
                28,
                steps,
                RESIDUAL.label_smoothing,
            ),
        ]
    for name, experiment, other in zip(
        ("LeNet-5", "residual"), (plain, residual), others, strict=True
    ):
        arguments = (experiment, other, steps, lines.rounds)
        lines.add({"network": name}, lambda arguments=arguments: steps_of(*arguments))
    for count in COUNTS[:2] if lines.tiny else COUNTS:
        name = {"network": "LeNet-5", "replicas": str(count)}
        lines.add(name, lambda count=count: replicas(count, steps, lines.rounds))
    for calls in CALLS:
        name = {"network": "LeNet-5", "steps a call": str(calls)}
        lines.add(name, lambda calls=calls: whole_loop(calls, 150 if lines.tiny else 3000))


if __name__ == "__main__":
    main()
