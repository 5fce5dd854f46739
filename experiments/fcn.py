"""A fully convolutional network: the class of every pixel of an image, and a random field on top.

Reproduces: Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation",
2015 (the network, B12), and Zheng et al., "Conditional random fields as recurrent neural networks",
2015 (B13). Published: 62.2 % mean intersection over union on PASCAL VOC 2012, and about 72 % with
the random field. On CamVid, SegNet-Basic has 46.3 % (Badrinarayanan et al. 2017).

    python -m experiments.fcn --workdir=runs/fcn
    python -m experiments.fcn --workdir=runs/coarse --config.stride=32
    python -m experiments.fcn --workdir=runs/finer --config.stride=16 --config.init_from=runs/coarse
    python -m experiments.fcn --workdir=runs/crf --config.preset=crf --config.init_from=runs/fcn
    python -m experiments.fcn --workdir=runs/camvid --config.preset=camvid \\
        --config.dataset=camvid:DATA_DIR/camvid
    python -m experiments.fcn --workdir=runs/fcn --mode=segment --config.input=a.jpg,b.jpg
    python -m experiments.fcn --workdir=runs/fcn --mode=compare --config.others=runs/coarse
    python -m experiments.fcn --workdir=runs/fcn --mode=iterations

The second and third commands train coarse first and then finer, as published; a skip starts at
zero. The fourth trains a random field end to end with the network that it starts from; with
`--config.freeze=crf` its parameters keep their initial values. --mode=iterations scores and draws
the random field after each iteration; a network that was trained without one gets the untrained
one of the settings crf_*.

Data: scenes (thick handwritten digits on a smooth ground, the default), camvid:DIR_OR_ZIP, voc:DIR
or coco:JSON; see data/images/segmented.py. CamVid's validation set is a sequence that is also in
its training set, so it does not judge the test set. Measured: the rows of B12 and B13 in
experiments/README.md.
"""

import json
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from data.images.segmented import (
    FORMS,
    EvaluationImages,
    TrainingCrops,
    load_segmented,
)
from data.tabular.batches import sha256_of
from experiments.common.assets import CLASSES, classes_of, to_json
from experiments.common.settings import picture, validation_fraction
from experiments.image.backbones import backbone, make_backbone, pretrained_values
from experiments.image.own import others
from experiments.image.random_field import RandomFieldConfig, random_field
from experiments.image.segmentation import Segment, class_weights
from nets.image.fcn import FCN, STRIDES
from train import cli
from train.config import ConfigError, option
from train.optimizer import make_optimizer
from train.task import Assets, Experiment

WEIGHTS = "class_weights.json"
MODES = {
    "segment": "experiments.image.segmentation_modes:segment",
    "compare": "experiments.image.segmentation_modes:compare",
    "iterations": "experiments.image.random_field:iterations",
}


@dataclass(slots=True, kw_only=True)
class Config(RandomFieldConfig):
    """Settings of the network and its images."""

    PRESETS: ClassVar = {
        "crf": {  # starts from a trained network: config.init_from
            "crf": 5,
            "batch_size": 4,
            "steps": 60,
            "learning_rate": 1e-4,
            "warmup_steps": 5,
            "log_every": 10,
            "eval_every": 60,
            "save_every": 60,
        },
        "camvid": {
            "image_reduction": 2,
            "class_weights": "none",
            "batch_size": 4,
            "steps": 2500,
            "size_jitter": 0.3,
            "flip": True,
            "colour_jitter": 0.3,
            "log_every": 50,
            "eval_every": 500,
            "save_every": 500,
        },
        "camvid_scratch": {  # finds more of the rare classes than camvid, and takes twice as long
            "image_reduction": 2,
            "standardize": True,
            "stride": 4,
            "class_weights": "median_root",
            "batch_size": 4,
            "steps": 4000,
            "size_jitter": 0.2,
            "flip": True,
            "colour_jitter": 0.3,
            "log_every": 50,
            "eval_every": 1000,
            "save_every": 500,
        },
    }
    TINY: ClassVar = {"image_reduction": 3, "hidden": 4, "crf": 1, "crf_radius": 1, "dropout": 0.0}

    dataset: str = RandomFieldConfig.changed("dataset", "scenes", ", ".join(FORMS))
    validation_fraction: float = validation_fraction()
    image_reduction: int = option(
        1, "factor by which the sides of the images are divided", group="data", minimum=1
    )
    crop_size: int = option(
        0,
        "side of the training crops, in pixels",
        note="0: the whole image",
        group="data",
        minimum=0,
    )
    size_jitter: float = option(
        0.0, "largest relative change of size in training", group="data", minimum=0, maximum=0.5
    )
    colour_jitter: float = option(
        0.0,
        "largest relative change of brightness, contrast and colours in training",
        group="data",
        minimum=0,
        below=1,
    )
    flip: bool = option(False, "augmentation: random horizontal flips", group="data")
    backbone: str = backbone()
    stride: int = option(
        8, "stride of the finest map that is read", note="32, 16, 8 or 4", minimum=4
    )
    standardize: bool = option(
        False, "whether the colours of each image are shifted and scaled to mean 0, variance 1"
    )
    upsampling: str = option(
        "bilinear",
        "how a coarse map is enlarged to the next finer one",
        choices=("bilinear", "learned"),
    )
    hidden: int = option(
        128, "hidden units per layer", note="of the one before the coarsest scores", minimum=1
    )
    dropout: float = option(
        0.1, "dropout probability", note="before the coarsest scores", minimum=0, below=1
    )
    class_weights: str = option(
        "median",
        "weights of the classes in the loss",
        choices=("none", "median", "median_root", "logarithm"),
    )
    picture: str = picture(*MODES)
    input: str = option("", "input file", note="images, comma-separated", modes=("segment",))
    others: str = others()
    batch_size: int = RandomFieldConfig.changed("batch_size", 8)
    steps: int = RandomFieldConfig.changed("steps", 1200)
    optimizer: str = RandomFieldConfig.changed("optimizer", "adamw")
    learning_rate: float = RandomFieldConfig.changed("learning_rate", 3e-3)
    weight_decay: float = RandomFieldConfig.changed("weight_decay", 0.02)
    warmup_steps: int = RandomFieldConfig.changed("warmup_steps", 50)
    figures_at: tuple[float, ...] = RandomFieldConfig.changed("figures_at", (1.0,))


def make_task(config: Config, assets: Assets) -> Segment:
    """Make the network for the classes of the images, and the random field if there is one."""
    classes = classes_of(assets)
    if config.stride not in STRIDES:
        raise ConfigError(f"config.stride must be one of {STRIDES}, got {config.stride}")
    model = FCN(
        make_backbone(config.backbone, config.precision),
        len(classes),
        config.stride,
        config.upsampling,
        config.hidden,
        config.dropout,
        jnp.dtype(config.precision),
        random_field(config, config.crf) if config.crf else None,
        config.standardize,
    )
    return Segment(model, classes, json.loads(assets[WEIGHTS]))


def build(config: Config) -> Experiment:
    """Load the images; make the task and the batches."""
    sets = load_segmented(config.dataset, config.image_reduction, config.validation_fraction)
    train = sets.pop("train")
    weights = class_weights(train.counts(), config.class_weights)
    assets = {CLASSES: to_json(train.classes), WEIGHTS: to_json(weights)}
    every = [array for part in (train, *sets.values()) for array in (*part.images, *part.masks)]
    return Experiment(
        task=make_task(config, assets),
        optimizer=make_optimizer(config),
        train=TrainingCrops(
            train,
            config.batch_size,
            config.seed,
            config.crop_size,
            config.size_jitter,
            config.flip,
            config.colour_jitter,
        ),
        evals={name: EvaluationImages(part, config.batch_size) for name, part in sets.items()},
        provenance={
            "dataset": config.dataset.partition(":")[0],
            "train": len(train),
            **{name: len(part) for name, part in sets.items()},
            "sha256": sha256_of(*every),
        },
        assets=assets,
        pretrained=pretrained_values(config.backbone, "params/backbone"),
    )


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
