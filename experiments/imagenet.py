"""AlexNet and VGG-11, 16 and 19: on ImageNet as published, or narrow, on small images.

Reproduces: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional
neural networks", 2012, and Simonyan and Zisserman, "Very deep convolutional networks for
large-scale image recognition", 2014 (see nets/image/alexnet.py, nets/image/vgg.py). Published, one
network on the validation set of 2012: AlexNet 18.2 % top-5 error, VGG-16 8.8 % and VGG-19 9.0 % at
one scale.

    python -m experiments.imagenet --workdir=runs/small
    python -m experiments.imagenet --workdir=runs/vgg --config.architecture=vgg11
    python -m experiments.imagenet --workdir=runs/alexnet --config.preset=alexnet

A preset (alexnet, vgg11, vgg16, vgg19) is the published recipe on imagenet2012, which must have
been prepared by TFDS: random crops, flips, colours moved along their principal components, SGD with
momentum 0.9 and weight decay 5e-4, a rate of 0.01 that falls by ten three times. The papers let it
fall when the error stops falling; here the steps are fixed. They test on ten crops or whole images,
this on the central crop. Photographs may be of any size; small images are those of
experiments/lenet5.py. Tests hold the counts of parameters, rows B5 and B6 in experiments/README.md;
no training on photographs was measured.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from experiments.common.classification import Classify
from experiments.image.photos import Config as PhotoConfig
from experiments.image.photos import make_any_experiment
from experiments.image.task import MODES
from nets.image.alexnet import SIZES, AlexNet
from nets.image.vgg import SMALLEST, VGG
from train import cli
from train.config import ConfigError, option
from train.task import Experiment, Mean

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's red, green and blue: Simonyan and Zisserman's
PUBLISHED = {
    "dataset": "imagenet2012",
    "width_multiplier": 1.0,
    "validation_fraction": 0.01,
    "shift": 0.0,
    "scale": 0.0,
    "flip": True,
    "optimizer": "momentum",
    "learning_rate": 0.01,
    "weight_decay": 5e-4,
    "schedule": "step",
    "decay_factor": 0.1,
    "log_every": 100,
    "eval_every": 10_000,
    "save_every": 2000,
}
DEEP = {**PUBLISHED, "image_size": 224, "batch_size": 256, "steps": 370_000, "decay_every": 100_000}


@dataclass(slots=True, kw_only=True)
class Config(PhotoConfig):
    """Settings of the network; those of the data are in experiments/image/."""

    PRESETS: ClassVar = {
        "alexnet": {
            **PUBLISHED,
            "architecture": "alexnet",
            "image_size": 227,
            "steps": 900_000,
            "decay_every": 250_000,
        },
        **{name: {**DEEP, "network": name} for name in ("vgg11", "vgg16", "vgg19")},
    }
    TINY: ClassVar = {"image_size": 16, "width_multiplier": 0.02, "dropout": 0.0}

    architecture: str = option(
        "alexnet", "network architecture", choices=("alexnet", "vgg11", "vgg16", "vgg19")
    )
    grouped_convolutions: bool = option(
        True, "split the second, fourth and fifth convolution into two groups", note="alexnet"
    )
    batch_norm: bool = option(False, "batch normalisation after each convolution", note="vgg")
    width_multiplier: float = option(
        0.125, "channels and units relative to the published network", above=0
    )
    dropout: float = option(0.5, "dropout probability", note="of dense layers", minimum=0, below=1)
    steps: int = PhotoConfig.changed("steps", 600)


class ClassifyCentred(Classify):
    """Mean of -log P(label given image), images in 0 .. 255 less the mean colour."""

    def __init__(self, model, classes, first: tuple[str, ...], small: bool):
        super().__init__(model, classes)
        self.first, self.small = first, small

    def inputs(self, batch, carry):
        """Return the images as the published networks read them."""
        images = batch["image"]
        mean = jnp.float32(MEAN) if images.shape[-1] == len(MEAN) else np.mean(MEAN)
        return ((images - mean) * 255,)

    def means(self, outputs, batch):
        """Loss, accuracy, and whether the label is among the five likeliest."""
        own = jnp.take_along_axis(outputs, batch["label"][:, None], axis=-1)
        top5 = (outputs > own).sum(axis=-1) < 5
        return {**super().means(outputs, batch), "top5": Mean.from_values(top5, batch.get("mask"))}

    def figures(self, predict, batches):
        """First-layer filters; of small images the mistakes, too."""
        from experiments.common.pictures import filters_picture

        params = predict.variables["params"]
        for name in self.first:
            params = params[name]
        shown = {"filters": filters_picture(params["kernel"])}
        return shown | (super().figures(predict, batches) if self.small else {})


def build(config: Config) -> Experiment:
    """Make the network for the classes of the data, and the rest of the experiment."""
    check_size(config)

    def make_task(classes, small):
        dtype = jnp.dtype(config.precision)
        if config.architecture == "alexnet":
            model = AlexNet(
                len(classes),
                config.grouped_convolutions,
                config.width_multiplier,
                config.dropout,
                dtype,
            )
            return ClassifyCentred(model, classes, ("conv1",), small)
        layers = int(config.architecture.removeprefix("vgg"))
        deep = VGG(
            layers, len(classes), config.batch_norm, config.width_multiplier, config.dropout, dtype
        )
        return ClassifyCentred(deep, classes, ("block1", "conv1"), small)

    return make_any_experiment(config, make_task)


def check_size(config: Config) -> None:
    """Raise ConfigError for a size that the network cannot read."""
    if config.architecture == "alexnet" and config.image_size not in SIZES:
        raise ConfigError(
            "config.image_size must be 227, 224, or from 15 to 64 for alexnet, "
            f"got {config.image_size}"
        )
    if config.architecture != "alexnet" and config.image_size < SMALLEST:
        raise ConfigError(
            f"config.image_size must be at least {SMALLEST} for {config.architecture}, "
            f"got {config.image_size}"
        )


if __name__ == "__main__":
    cli.run(Config, build, MODES)
