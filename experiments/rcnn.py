"""R-CNN: windows that may hold an object, each warped and classified by a convolutional network.

Reproduces: Girshick, Donahue, Darrell and Malik, "Rich feature hierarchies for accurate object
detection and semantic segmentation", 2014. Published: 53.7 % mean average precision on PASCAL VOC
2010, with a network pre-trained on ImageNet.

    python -m experiments.rcnn --workdir=runs/rcnn
    python -m experiments.rcnn --workdir=runs/cells --config.preset=bccd
    python -m experiments.rcnn --workdir=runs/animals --config.preset=animals \\
        --config.dataset=voc:DIR
    python -m experiments.rcnn --workdir=runs/lite --config.preset=bccd --config.backbone=lite0
    python -m experiments.rcnn --workdir=runs/rcnn --mode=svm
    python -m experiments.rcnn --workdir=runs/rcnn --mode=recall
    python -m experiments.rcnn --workdir=runs/cells --mode=detect --config.input=a.jpg,b.jpg

Windows come from selective search (data/images/proposals.py). The network classifies them with a
softmax and learns to correct their boxes at the same time. --mode=svm replaces both by what was
published, fitted to the features of the trained network: linear support vector machines with hard
negatives, and ridge regression of whitened targets. --mode=recall draws how many objects the
windows find.

Data: scenes (handwritten digits on a smooth ground, the default), voc:DIR, coco:JSON, or a prepared
dataset with objects such as bccd; see data/images/detection.py. The validation set selects the best
checkpoint; "test" is evaluated once, at the end. Measured: the rows of B10 in
experiments/README.md.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from experiments.common.assets import classes_of
from experiments.image.backbones import make_backbone
from experiments.image.detection import ANIMALS, BCCD, DetectionConfig, make_experiment
from experiments.image.detection import MODES as SHARED_MODES
from experiments.image.detection_task import Detect
from nets.image.detector import RCNN
from train import cli
from train.config import option
from train.task import Assets, Experiment

MODES = SHARED_MODES | {"svm": "experiments.image.published_detector:svm"}


@dataclass(slots=True, kw_only=True)
class Config(DetectionConfig):
    """Settings of the network; those of the windows are in experiments/image/detection.py."""

    PRESETS: ClassVar = {
        "bccd": BCCD | {"steps": 2000, "eval_every": 1000, "save_every": 500},
        "animals": ANIMALS | {"window_size": 48, "steps": 1000, "eval_every": 500},
    }
    TINY: ClassVar = {
        "proposals": "sliding",
        "most_images": 8,
        "max_windows": 8,
        "windows": 4,
        "window_size": 32,
        "hidden": 8,
        "dropout": 0.0,
    }

    window_size: int = option(
        40, "side of a window, in pixels", note="to which each is warped", minimum=32
    )
    svm_cost: float = option(1e-3, "cost C of the support vector machines", modes=("svm",), above=0)
    ridge: float = option(
        1000.0, "weight of the squared norm in the regression of boxes", modes=("svm",), above=0
    )
    steps: int = DetectionConfig.changed("steps", 400)
    eval_every: int = DetectionConfig.changed("eval_every", 200)


def make_task(config: Config, assets: Assets) -> Detect:
    """Make the network for the classes of the objects."""
    classes = classes_of(assets)
    model = RCNN(
        make_backbone(config.backbone, config.precision, config.stride),
        len(classes),
        config.window_size,
        config.stride,
        config.hidden,
        config.dropout,
        jnp.dtype(config.precision),
    )
    return Detect(model, classes, config)


def build(config: Config) -> Experiment:
    """Load the images and their windows; make the task and the batches."""
    return make_experiment(config, make_task)


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
