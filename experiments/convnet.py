"""A small residual network with batch normalisation.

Reproduces: the block of He, Zhang, Ren and Sun, "Deep residual learning for image recognition",
2015, in a network small enough for two cores (see nets/image/resnet.py).

    python -m experiments.convnet --workdir=runs/convnet
    python -m experiments.convnet --workdir=runs/mnist --config.preset=mnist
    python -m experiments.convnet --workdir=runs/fashion --config.preset=fashion
    python -m experiments.convnet --workdir=runs/cifar --config.preset=cifar \\
        --config.dataset=folder:DATA_DIR/cifar10_jpeg

Data, splits and augmentation: those of experiments/lenet5.py. `flip` suits pictures of objects, not
digits. With `ema_decay` the batch statistics remain those of the weights, not of their average,
so averaging helps only when the learning rate ends near zero. Measured: the rows of B4 in
experiments/README.md.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from experiments.common.assets import classes_of
from experiments.common.classification import Classify
from experiments.image.task import MODES, load_data, make_experiment
from experiments.image.task import Config as ImageConfig
from nets.image.resnet import ConvNet
from train import cli
from train.config import ConfigError, option
from train.task import Assets, Experiment


@dataclass(slots=True, kw_only=True)
class Config(ImageConfig):
    """Settings of the network and its loss; those of the data are in experiments/image/task.py."""

    PRESETS: ClassVar = {
        "mnist": {  # 16 passes over 57,000 images
            "dataset": "mnist",
            "image_size": 28,
            "validation_fraction": 0.05,
            "distort": True,
            "steps": 7000,
            "log_every": 100,
            "eval_every": 2500,
            "save_every": 1250,
        },
        "fashion": {  # 13 passes over 57,000 images
            "dataset": "fashion_mnist",
            "image_size": 28,
            "validation_fraction": 0.05,
            "channels": 24,
            "stages": 3,
            "shift": 1.0,
            "scale": 0.0,
            "flip": True,
            "steps": 6000,
            "log_every": 100,
            "eval_every": 2500,
            "save_every": 1250,
        },
        "cifar": {  # 52 passes over 8,938 images
            "channels": 24,
            "stages": 3,
            "dropout": 0.2,
            "label_smoothing": 0.1,
            "whole_shift": 4,
            "shift": 0.0,
            "scale": 0.0,
            "flip": True,
            "erase": 16,
            "weight_decay": 0.05,
            "steps": 3600,
            "log_every": 100,
            "eval_every": 900,
            "save_every": 900,
        },
    }
    TINY: ClassVar = {"image_size": 16, "channels": 4, "stages": 1, "dropout": 0.0}

    image_size: int = option(32, "side of the images, in pixels", group="data", minimum=2)
    channels: int = option(
        16, "channels of the first layer", note="each stage doubles them", minimum=1
    )
    stages: int = option(2, "number of stages", note="each halves the image", minimum=1, maximum=8)
    blocks: int = option(1, "residual blocks per stage", minimum=1)
    dropout: float = option(
        0.1, "dropout probability", note="before the last layer", minimum=0, below=1
    )
    label_smoothing: float = option(0.05, "label smoothing", minimum=0, below=1)
    steps: int = ImageConfig.changed("steps", 600)
    optimizer: str = ImageConfig.changed("optimizer", "adamw")
    learning_rate: float = ImageConfig.changed("learning_rate", 4e-3)
    weight_decay: float = ImageConfig.changed("weight_decay", 0.02)
    warmup_steps: int = ImageConfig.changed("warmup_steps", 200)


class ClassifyWithSmoothing(Classify):
    """Mean of -sum_k q_k log P(k given image), where q is the smoothed label.

    q_k = (1 - smoothing) [k = label] + smoothing / classes. Source: Szegedy et al., "Rethinking the
    Inception architecture", 2016.
    """

    def __init__(self, model, classes, smoothing: float):
        super().__init__(model, classes)
        self.smoothing = smoothing

    def losses(self, outputs, labels):
        """Loss [B] of logits [B, classes], in nats; held-out labels are smoothed, too."""
        targets = jax.nn.one_hot(labels, outputs.shape[-1])
        return optax.softmax_cross_entropy(outputs, optax.smooth_labels(targets, self.smoothing))

    def figures(self, predict, batches):
        """Draw the first-layer filters, the confusion matrix, and the most confident mistakes."""
        from experiments.common.pictures import filters_picture

        filters = filters_picture(predict.variables["params"]["conv"]["kernel"])
        return {"filters": filters} | super().figures(predict, batches)


def make_task(config: Config, assets: Assets) -> Classify:
    """Make the network for the classes of the images."""
    classes = classes_of(assets)
    model = ConvNet(
        classes=len(classes),
        width=config.channels,
        stages=config.stages,
        blocks=config.blocks,
        dropout=config.dropout,
        dtype=jnp.dtype(config.precision),
    )
    return ClassifyWithSmoothing(model, classes, config.label_smoothing)


def build(config: Config) -> Experiment:
    """Load the images; make the task and the batches."""
    if config.image_size < 2**config.stages:
        raise ConfigError(
            f"config.image_size {config.image_size} is less than {2**config.stages}, the minimum "
            f"for config.stages {config.stages}"
        )
    return make_experiment(config, make_task, load_data(config, config.image_size))


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
