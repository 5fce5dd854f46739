"""AlexNet and VGG-11, 16 and 19: on ImageNet as published, or narrow, on small images.

Reproduces: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional
neural networks", 2012, and Simonyan and Zisserman, "Very deep convolutional networks for
large-scale image recognition", 2014 (see nets/image/alexnet.py, nets/image/vgg.py). Published top-5
errors of single networks on the 2012 validation set: AlexNet 18.2 %, VGG-16 8.8 % and VGG-19 9.0 %
at one scale.

    python -m experiments.imagenet --workdir=runs/small
    python -m experiments.imagenet --workdir=runs/vgg --config.architecture=vgg11
    python -m experiments.imagenet --workdir=runs/alexnet --config.preset=alexnet

Presets (alexnet, vgg11, vgg16, vgg19) are the published recipes on imagenet2012, which TFDS must
have prepared: random crops, flips, noise along the principal components of the colours, SGD with
momentum 0.9 and weight decay 5e-4, and a learning rate of 0.01 that is divided by ten three times.
The papers divide it when the error stops improving, the presets at fixed steps. The papers test on
ten crops or on whole images, this experiment on the central crop.

Data: any prepared dataset with labelled photographs of any size, or the small images of
experiments/lenet5.py. Measured: parameter counts, in rows B5 and B6 of experiments/README.md; no
network was trained on photographs.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from data.images.photos import (
    PhotoBatches,
    are_photos,
    load_photos,
    photo_provenance,
    principal_colours,
)
from experiments.common.assets import classes_of
from experiments.common.classification import Classify
from experiments.image.task import (
    MODES,
    ImageData,
    load_data,
    make_augmentation,
    make_experiment,
)
from experiments.image.task import Config as ImageConfig
from nets.image.alexnet import SIZES, AlexNet
from nets.image.vgg import SMALLEST, VGG
from train import cli
from train.config import ConfigError, option
from train.task import Assets, Experiment, Mean

LARGEST_PICTURED = 64  # side of images that are drawn as mistakes, in pixels
MEAN = (0.485, 0.456, 0.406)  # of red, green and blue in ImageNet: Simonyan and Zisserman
PUBLISHED: dict[str, Any] = {
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
PUBLISHED_ALEXNET = PUBLISHED | {"image_size": 227, "steps": 900_000, "decay_every": 250_000}
PUBLISHED_VGG = PUBLISHED | {
    "image_size": 224,
    "batch_size": 256,
    "steps": 370_000,
    "decay_every": 100_000,
}


@dataclass(slots=True, kw_only=True)
class Config(ImageConfig):
    """Settings of photographs and of the network; the others are in experiments/image/task.py."""

    PRESETS: ClassVar = {
        "alexnet": PUBLISHED_ALEXNET | {"architecture": "alexnet"},
        "vgg11": PUBLISHED_VGG | {"architecture": "vgg11"},
        "vgg16": PUBLISHED_VGG | {"architecture": "vgg16"},
        "vgg19": PUBLISHED_VGG | {"architecture": "vgg19"},
    }
    TINY: ClassVar = {"image_size": 16, "width_multiplier": 0.02, "dropout": 0.0}

    image_size: int = option(32, "side of the images, in pixels", group="data", minimum=1)
    colour_noise: float = option(
        0.1,
        "augmentation: standard deviation of noise along the principal components of colour",
        note="only for photographs: datasets whose images differ in size",
        group="data",
        minimum=0,
    )

    architecture: str = option(
        "alexnet", "network architecture", choices=("alexnet", "vgg11", "vgg16", "vgg19")
    )
    grouped_convolutions: bool = option(
        True,
        "split the second, fourth and fifth convolution into two groups",
        note="only with architecture=alexnet",
    )
    batch_norm: bool = option(
        False, "batch normalisation", note="after each convolution; only with vgg"
    )
    width_multiplier: float = option(
        0.125, "number of channels and units relative to the published network", above=0
    )
    dropout: float = option(
        0.5, "dropout probability", note="of the dense layers", minimum=0, below=1
    )
    steps: int = ImageConfig.changed("steps", 600)


class ClassifyCentred(Classify):
    """Mean of -log P(label given image), for images in 0 .. 255 minus the mean colour.

    first_layer: module path of the first convolution, for the picture of its filters. small_images:
    whether the images are small enough for a picture of the mistakes.
    """

    def __init__(self, model, classes, first_layer: tuple[str, ...], small_images: bool):
        super().__init__(model, classes)
        self.first_layer, self.small_images = first_layer, small_images

    def inputs(self, batch):
        """Return the images, scaled and centred as the published networks read them."""
        images = batch["image"]
        mean = jnp.float32(MEAN) if images.shape[-1] == len(MEAN) else np.mean(MEAN)
        return ((images - mean) * 255,)

    def means(self, outputs, batch):
        """Loss, accuracy, and top-5 accuracy: the label is among the five most probable classes."""
        own = jnp.take_along_axis(outputs, batch["label"][:, None], axis=-1)
        top5 = (outputs > own).sum(axis=-1) < 5
        return {**super().means(outputs, batch), "top5": Mean.from_values(top5, batch.get("mask"))}

    def figures(self, predict, batches):
        """Draw the filters of the first layer; for small images also the usual figures."""
        from experiments.common.pictures import filters_picture

        params = predict.variables["params"]
        for name in self.first_layer:
            params = params[name]
        figures = {"filters": filters_picture(params["kernel"])}
        return figures | (super().figures(predict, batches) if self.small_images else {})


def make_task(config: Config, assets: Assets) -> Classify:
    """Make the network for the classes of the images."""
    classes, small_images = classes_of(assets), config.image_size <= LARGEST_PICTURED
    if config.architecture == "alexnet":
        alexnet = AlexNet(
            classes=len(classes),
            grouped=config.grouped_convolutions,
            width=config.width_multiplier,
            dropout=config.dropout,
            dtype=jnp.dtype(config.precision),
        )
        return ClassifyCentred(alexnet, classes, ("conv1",), small_images)
    vgg = VGG(
        layers=int(config.architecture.removeprefix("vgg")),
        classes=len(classes),
        batch_norm=config.batch_norm,
        width=config.width_multiplier,
        dropout=config.dropout,
        dtype=jnp.dtype(config.precision),
    )
    return ClassifyCentred(vgg, classes, ("block1", "conv1"), small_images)


def build(config: Config) -> Experiment:
    """Load the images, as photographs if they differ in size; make the task and the batches."""
    check_size(config)
    photos = are_photos(config.dataset, config.data_dir)
    data = load_photo_data(config) if photos else load_data(config, config.image_size)
    return make_experiment(config, make_task, data)


def load_photo_data(config: Config) -> ImageData:
    """Load photographs, which are decoded and cropped when needed."""
    splits = load_photos(
        config.dataset, config.data_dir, config.image_size, config.validation_fraction
    )
    photos = splits["train"]
    train = PhotoBatches(
        source=photos,
        batch_size=config.batch_size,
        seed=config.seed,
        augmentation=make_augmentation(config),
        colour=config.colour_noise,
        colours=principal_colours(photos),
    )
    return ImageData(
        classes=photos.classes,
        train=train,
        held_out={name: splits[name] for name in ("validation", "test")},
        provenance={"dataset": config.dataset.split(":")[0], **photo_provenance(splits)},
    )


def check_size(config: Config) -> None:
    """Raise ConfigError if the network cannot read images of this size."""
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
    cli.run(Config, build, make_task, MODES)
