"""Training step of a convolutional network: ours, with Flax's convolution, and in PyTorch.

    python -m bench.convolution
    python -m bench.convolution --save=bench/convolution.md

LeNet-5, batches of 128 images given, whole steps with Adam, timed in turn in one process. The ratio
is the median over rounds of (the other's time / ours): above 1 we are faster.
"""

import importlib
import importlib.util
from dataclasses import replace
from unittest import mock

import numpy as np

from bench.tables import arguments, publish
from bench.timing import Run, compared, in_turn, training
from experiments import lenet5
from nets import convolution
from train.cli import keep_freed_memory
from train.parallel import JitMesh

BATCH, STEPS = 128, 10


def drawn(number: int) -> dict[str, np.ndarray]:
    """Batch of a step: noise and labels."""
    rng = np.random.default_rng(number)
    images = rng.random((BATCH, 32, 32, 1), np.float32)
    return {"image": images, "label": rng.integers(10, size=BATCH).astype(np.int32)}


def ours() -> Run:
    """Make a function that takes some steps of the experiment, compiled now."""
    experiment = replace(lenet5.build(lenet5.Config(batch_size=BATCH)), train=drawn)
    return training(experiment, JitMesh(BATCH), 1, STEPS)


def with_flax() -> Run:
    """Make the same with XLA's convolution everywhere."""
    with mock.patch.object(convolution, "by_band", convolution.by_lax):
        return ours()


def pytorch_lenet():
    """Make LeNet-5 with a softmax output of PyTorch's layers."""
    nn = importlib.import_module("torch.nn")
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten()),
        *(nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
    )


def pytorch_logits(network, batch: dict[str, np.ndarray]):
    """Logits [B, 10] of a network of PyTorch's for one of our batches."""
    images = importlib.import_module("torch").from_numpy(batch["image"])
    return network(images.permute(0, 3, 1, 2).contiguous())


def pytorch_step(network, optimizer, batch: dict[str, np.ndarray]):
    """Take a step of PyTorch's; return the loss."""
    torch = importlib.import_module("torch")
    labels = torch.from_numpy(batch["label"]).long()
    loss = torch.nn.functional.cross_entropy(pytorch_logits(network, batch), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def pytorch() -> Run:
    """Make a function that takes some steps of the same network in PyTorch."""
    network = pytorch_lenet()
    torch = importlib.import_module("torch")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    batches = [drawn(number) for number in range(STEPS)]

    def run():
        for batch in batches:
            loss = pytorch_step(network, optimizer, batch)
        return loss.item()

    return run


def main() -> None:
    """Print the table."""
    options = arguments(__doc__).parse_args()
    keep_freed_memory()  # as every command of an experiment does
    runs = {"ours": ours(), "Flax": with_flax()}
    if importlib.util.find_spec("torch"):
        runs["PyTorch"] = pytorch()
    lines = compared(in_turn(runs, options.rounds), STEPS)
    publish("convolution", "Training step of LeNet-5", [lines], options.save)


if __name__ == "__main__":
    main()
