"""A multi-dimensional LSTM that scans an image of a digit from its four corners and classifies it.

Reproduces: Graves, Fernandez and Schmidhuber, "Multi-dimensional recurrent neural networks", 2007.
Published: 1.1 % error on MNIST, with 25 memory blocks that scan 28 x 28 single pixels.

    python -m experiments.mdrnn --workdir=runs/mdrnn
    python -m experiments.mdrnn --workdir=runs/mnist --config.dataset=mnist --config.steps=4219

Data and splits: those of experiments/lenet5.py. The images are cut into square patches, each one
position of the grid: --config.patch_size=1 scans single pixels, as in the paper, and 4 has a
sixteenth of the positions. Measured: the rows of C12 in experiments/README.md.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import linen as nn

from experiments.common.assets import classes_of
from experiments.common.classification import Classify
from experiments.image.task import MODES, load_data, make_experiment
from experiments.image.task import Config as ImageConfig
from nets.recurrent.grid import MDRNN
from train import cli
from train.config import ConfigError, option
from train.task import Assets, Experiment

SIDES = (1, 2, 4, 8, 16)  # of a patch, in pixels: divisors of the side of the images


@dataclass(slots=True, kw_only=True)
class Config(ImageConfig):
    """Settings of the network; those of the data are in experiments/image/task.py."""

    TINY: ClassVar = {"hidden": 8}

    cell: str = option("lstm", "recurrent cell", choices=("lstm", "elman"))
    hidden: int = option(32, "hidden units per layer", note="per direction", minimum=1)
    scan_directions: int = option(
        4,
        "number of scan directions: 1, 2 or 4",
        note="each starts at one corner",
        minimum=1,
        maximum=4,
    )
    patch_size: int = option(
        4,
        "side of the square patch at each position of the grid, in pixels",
        note=f"one of {SIDES}",
        minimum=1,
        maximum=16,
    )
    steps: int = ImageConfig.changed("steps", 600)
    learning_rate: float = ImageConfig.changed("learning_rate", 5e-3)
    clip_norm: float = ImageConfig.changed("clip_norm", 1.0)


class GridClassifier(nn.Module):
    """logits = V mean_p h_p + b, where h_p is the output of an MDRNN at position p of the image."""

    recurrent: MDRNN
    patch_size: int
    classes: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        """Logits float32 [B, classes] of images [B, H, W, C]; H and W are multiples of a patch."""
        count, height, width, channels = images.shape
        side = self.patch_size
        x = images.reshape(count, height // side, side, width // side, side, channels)
        x = x.swapaxes(2, 3).reshape(count, height // side, width // side, -1)
        _, outputs = self.recurrent(x)
        logits = nn.Dense(self.classes, dtype=self.dtype)(outputs.mean(axis=(1, 2)))
        return logits.astype(jnp.float32)


def make_task(config: Config, assets: Assets) -> Classify:
    """Make the network for the classes of the images."""
    classes, dtype = classes_of(assets), jnp.dtype(config.precision)
    cell: Any = config.cell  # one of the literals of MDRNN
    recurrent = MDRNN(
        features=config.hidden, cell=cell, directions=config.scan_directions, dtype=dtype
    )
    model = GridClassifier(recurrent, config.patch_size, len(classes), dtype=dtype)
    return Classify(model, classes)


def build(config: Config) -> Experiment:
    """Load the images; make the task and the batches."""
    if config.patch_size not in SIDES or config.scan_directions == 3:
        raise ConfigError(
            f"config.patch_size must be one of {SIDES} and config.scan_directions 1, 2 or 4, "
            f"got {config.patch_size} and {config.scan_directions}"
        )
    return make_experiment(config, make_task, load_data(config))


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
