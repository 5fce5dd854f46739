"""Training step of convolutional networks: ours, with Flax's convolution, and in PyTorch.

    python -m bench.convolution
    python -m bench.convolution --save=bench/convolution.md

LeNet-5 and the modern network of `experiments.convnet`, batches of 128 images given, whole steps
with the experiment's own optimizer, timed in turn in one process. The ratio is the median over
rounds of (the other's time / ours): above 1 we are faster.
"""

import importlib
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from unittest import mock

import jax
import numpy as np
from tqdm import tqdm

from bench.tables import arguments, publish
from experiments import lenet5
from nets import convolution
from train.cli import keep_freed_memory
from train.parallel import JitMesh

BATCH, STEPS, PAUSE = 128, 10, 0.02  # images, steps in a round, seconds between rounds

Run = Callable[[], object]


def drawn(number: int) -> dict[str, np.ndarray]:
    """Batch of a step: noise and labels."""
    rng = np.random.default_rng(number)
    images = rng.random((BATCH, 32, 32, 1), np.float32)
    return {"image": images, "label": rng.integers(10, size=BATCH).astype(np.int32)}


def ours(module) -> Run:
    """Make a function that takes some steps of an experiment, compiled now."""
    experiment = module.build(module.Config(batch_size=BATCH))
    devices = JitMesh(BATCH)
    state, window = devices.init(experiment, 0, drawn(0))
    step = devices.compile(experiment)
    state, window = step(state, window, devices.put_batch([drawn(0)]))
    batches = [drawn(number) for number in range(STEPS)]

    def run():
        nonlocal state, window
        for batch in batches:
            state, window = step(state, window, devices.put_batch([batch]))
        return state

    return run


def with_flax(module) -> Run:
    """Make the same with XLA's convolution everywhere."""
    with mock.patch.object(convolution, "few", return_value=False):
        return ours(module)


def pytorch_lenet():
    """Make LeNet-5 with a softmax output of PyTorch's layers."""
    nn = importlib.import_module("torch.nn")
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten()),
        *(nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
    )


def pytorch(network) -> Run:
    """Make a function that takes some steps of a network of PyTorch's with Adam."""
    torch = importlib.import_module("torch")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    batches = [drawn(number) for number in range(STEPS)]

    def run():
        for batch in batches:
            images = torch.from_numpy(batch["image"]).permute(0, 3, 1, 2).contiguous()
            labels = torch.from_numpy(batch["label"]).long()
            loss = torch.nn.functional.cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    return run


def measure(runs: dict[str, Run], rounds: int) -> list[dict[str, str]]:
    """Milliseconds of a step of each, in turn, after a round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for count in tqdm(range(rounds + 1), disable=not sys.stderr.isatty(), leave=False):
        for name, run in runs.items():
            time.sleep(PAUSE)  # threads of the last run spin for a while
            began = time.perf_counter()
            jax.block_until_ready(run())
            if count:
                seconds[name].append((time.perf_counter() - began) / STEPS)
    own = seconds["ours"]
    return [
        {
            "": name,
            "ms a step": f"{1e3 * statistics.median(times):.2f}",
            "time / ours": f"{statistics.median(map(np.divide, times, own)):.2f}",
        }
        for name, times in seconds.items()
    ]


def main() -> None:
    """Print the table."""
    options = arguments(__doc__).parse_args()
    keep_freed_memory()  # as every command of an experiment does
    tables = []
    for module, network in ((lenet5, pytorch_lenet),):
        runs = {"ours": ours(module), "Flax": with_flax(module)}
        if importlib.util.find_spec("torch"):
            runs["PyTorch"] = pytorch(network())
        tables.append(measure(runs, options.rounds))
    publish("convolution", "Training step of convolutional networks", tables, options.save)


if __name__ == "__main__":
    main()
