"""LeNet-5 on handwritten digits, in three variants.

Reproduces: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
recognition", 1998. Published: 0.95 % test error on MNIST after 20 passes, 0.8 % with distorted
training images. The variants, all in nets/image/lenet.py:

    lecture (the default): partial connections, trained sigmoid subsampling, and a softmax output
    modern: full convolutions, average pooling, and a softmax output
    published: partial connections, trained subsampling, and an output of radial basis functions

    python -m experiments.lenet5 --workdir=runs/lenet5
    python -m experiments.lenet5 --workdir=runs/mnist --config.dataset=mnist --config.steps=8438
    python -m experiments.lenet5 --workdir=runs/modern --config.variant=modern
    python -m experiments.lenet5 --workdir=runs/plain --config.shift=0 --config.scale=0

Training images are shifted and scaled at random by default; the last command trains without
augmentation.

    python -m experiments.lenet5 --workdir=runs/published --config.preset=published
    python -m experiments.lenet5 --workdir=runs/distorted --config.preset=distorted
    python -m experiments.lenet5 --workdir=runs/distorted --mode=robustness

These commands train the published network on MNIST, without and with distortions, and measure its
accuracy on test images that are scaled, squeezed, rotated, noisy, or drawn with thinner or thicker
strokes. --mode=inside draws the features that its units respond to: docs/convolution.md.

Data: digits (scikit-learn's, the default), mnist, fashion_mnist, or any other prepared dataset with
labelled images. Part of the training images is held out as "validation" and selects the best
checkpoint; "test" is evaluated once, at the end. Measured: the rows of B2 in experiments/README.md.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from experiments.common.assets import classes_of
from experiments.common.classification import Classify
from experiments.image.task import MODES, load_data, make_experiment
from experiments.image.task import Config as ImageConfig
from nets.image.lenet import LectureLeNet5, LeNet5, PublishedLeNet5
from train import cli
from train.config import ConfigError, option
from train.task import Assets, Experiment

PUBLISHED: dict[str, Any] = {
    "dataset": "mnist",
    "variant": "published",
    "steps": 36750,
    "batch_size": 32,
    "learning_rate": 4e-3,
    "ema_decay": 0.999,
    "rubbish_penalty": 2.0,
    "validation_fraction": 0.02,
    "shift": 0.0,
    "scale": 0.0,
    "eval_every": 3675,
}


@dataclass(slots=True, kw_only=True)
class Config(ImageConfig):
    """Settings of the network; those of the data are in experiments/image/task.py."""

    PRESETS: ClassVar = {
        "published": PUBLISHED,
        "distorted": PUBLISHED | {"steps": 73500, "distort": True, "shift": 2.0, "scale": 0.1},
    }
    TINY: ClassVar = {}

    variant: str = option(
        "lecture",
        "network of the lectures, with modern layers, or as published",
        choices=("lecture", "modern", "published"),
    )
    criterion: str = option(
        "map",
        "training criterion: equation 8 (mle) or 9 (map) of the paper",
        note="only with variant=published",
        choices=("mle", "map"),
    )
    rubbish_penalty: float = option(
        40.0, "penalty j of the rubbish class", note="only with criterion=map", minimum=0
    )
    steps: int = ImageConfig.changed("steps", 1500)
    learning_rate: float = ImageConfig.changed("learning_rate", 3e-3)


class ClassifyImages(Classify):
    """Mean of -log P(label given image); the figures include the filters of the first layer."""

    def figures(self, predict, batches):
        """Draw the first-layer filters, the confusion matrix, and the most confident mistakes."""
        from experiments.common.pictures import filters_picture

        filters = filters_picture(predict.variables["params"]["C1"]["kernel"])
        return {"filters": filters} | super().figures(predict, batches)


class ClassifyByPenalties(ClassifyImages):
    """Mean loss of the paper, a function of the penalties y_i of the classes.

    mle, equation 8: y_label. map, equation 9: y_label + log(exp(-j) + sum_i exp(-y_i)), where j is
    the penalty of a "rubbish" class. The outputs of the model are the negative penalties.
    """

    def __init__(self, model: nn.Module, classes: tuple[str, ...], config: Config):
        super().__init__(model, classes)
        self.config = config

    def losses(self, outputs, labels):
        """Loss [B] of negative penalties [B, 10]."""
        penalty = -jnp.take_along_axis(outputs, labels[:, None], axis=1)[:, 0]
        if self.config.criterion == "mle":
            return penalty
        rubbish = jnp.full_like(penalty, -self.config.rubbish_penalty)[:, None]
        return penalty + jax.nn.logsumexp(jnp.concatenate([rubbish, outputs], axis=1), axis=1)


def make_task(config: Config, assets: Assets) -> Classify:
    """Make the network for the classes of the images."""
    classes, dtype = classes_of(assets), jnp.dtype(config.precision)
    if config.variant != "published":
        network = LectureLeNet5 if config.variant == "lecture" else LeNet5
        return ClassifyImages(network(len(classes), dtype=dtype), classes)
    if len(classes) != 10:
        raise ConfigError(
            f"config.variant=published needs 10 classes, but dataset {config.dataset} "
            f"has {len(classes)}"
        )
    return ClassifyByPenalties(PublishedLeNet5(dtype=dtype), classes, config)


def build(config: Config) -> Experiment:
    """Load the images; make the task and the batches."""
    data = load_data(config)
    shape = data.train(0)["image"].shape[1:]
    if config.variant == "published" and shape != (32, 32, 1):
        raise ConfigError(
            f"config.variant=published needs grey images of shape (32, 32, 1), but those of "
            f"dataset {config.dataset} have shape {shape}"
        )
    return make_experiment(config, make_task, data)


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
