"""Classifier of pictures on the features of a backbone, from scratch or pre-trained on ImageNet.

A linear classifier of the mean of the last feature map of `--config.backbone`: convnet, which is
trained from scratch, or lite0, EfficientNet-Lite0 with its released weights (see
experiments/image/backbones.py). It is for your own folder of pictures, of any size, with a
sub-folder for each class; docs/own_data.md describes the other forms.

    python -m experiments.image_classifier --workdir=runs/pets --config.preset=frozen \\
        --config.dataset=folder:PICTURES
    python -m experiments.image_classifier --workdir=runs/tuned --config.preset=tuned \\
        --config.dataset=folder:PICTURES
    python -m experiments.image_classifier --workdir=runs/pets --mode=classify \\
        --config.input=picture.jpg,other.jpg
    python -m experiments.image_classifier --workdir=runs/digits

The first command trains the linear classifier alone, on features that do not change (preset
frozen); the second one all parameters (preset tuned), which takes about ten times as long for each
image. Both need the extra [pretrained]. The last one trains convnet from scratch on scikit-learn's
digits. The pictures are kept in memory, at 128 x 128 pixels 0.2 MB each.

Results with lite0 are those of a network that has seen 1.28 million labelled photographs of
ImageNet before: the tables mark them as pre-trained.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax.numpy as jnp

from experiments.common.assets import classes_of
from experiments.common.classification import Classify
from experiments.image.backbones import backbone, make_backbone, pretrained_values
from experiments.image.task import ImageConfig, load_data, make_experiment
from nets.image.backbone import PooledClassifier
from train import cli
from train.config import option
from train.task import Assets, Experiment

MODES = {"classify": "experiments.image.own:classify"}
PRETRAINED: dict[str, Any] = {
    "backbone": "lite0",
    "image_size": 128,
    "flip": True,
    "shift": 8.0,
    "scale": 0.2,
    "batch_size": 32,
    "log_every": 20,
    "eval_every": 100,
}


@dataclass(slots=True, kw_only=True)
class Config(ImageConfig):
    """Settings of the backbone; those of the data are in experiments/image/task.py."""

    PRESETS: ClassVar = {
        "frozen": PRETRAINED | {"frozen": True, "learning_rate": 3e-3, "steps": 300},
        "tuned": PRETRAINED | {"learning_rate": 3e-4, "warmup_steps": 50, "steps": 400},
    }
    TINY: ClassVar = {"frozen": True, "dropout": 0.0}

    image_size: int = option(32, "side of the images, in pixels", group="data", minimum=32)
    backbone: str = backbone()
    frozen: bool = option(False, "do not train the backbone")
    dropout: float = option(
        0.1, "dropout probability", note="before the last layer", minimum=0, below=1
    )
    input: str = option("", "input file", note="images, comma-separated", modes=("classify",))
    steps: int = ImageConfig.changed("steps", 400)
    optimizer: str = ImageConfig.changed("optimizer", "adamw")
    learning_rate: float = ImageConfig.changed("learning_rate", 3e-3)
    weight_decay: float = ImageConfig.changed("weight_decay", 0.02)


def make_task(config: Config, assets: Assets) -> Classify:
    """Make the network for the classes of the images."""
    classes = classes_of(assets)
    model = PooledClassifier(
        backbone=make_backbone(config.backbone, config.precision),
        classes=len(classes),
        frozen=config.frozen,
        dropout=config.dropout,
        dtype=jnp.dtype(config.precision),
    )
    return Classify(model, classes)


def build(config: Config) -> Experiment:
    """Load the images and the weights of the backbone; make the task and the batches."""
    pretrained = pretrained_values(config.backbone, "params/backbone")
    experiment = make_experiment(config, make_task, load_data(config, config.image_size))
    return replace(experiment, pretrained=pretrained)


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
