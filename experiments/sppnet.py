"""SPP-net: the image is convolved once, and each window of the map is pooled into fixed bins.

Reproduces: He, Zhang, Ren and Sun, "Spatial pyramid pooling in deep convolutional networks for
visual recognition", 2014. Published, on PASCAL VOC 2007: 59.2 % mean average precision where R-CNN
has 58.5 %, with features computed 102 times (one scale) and 38 times (five scales) faster.

    python -m experiments.sppnet --workdir=runs/sppnet
    python -m experiments.sppnet --workdir=runs/five --config.scales=1,1.2,1.44,1.73,2.07
    python -m experiments.sppnet --workdir=runs/cells --config.preset=bccd
    python -m experiments.sppnet --workdir=runs/sppnet --mode=detect --config.input=a.jpg

Data, proposals, scores and the number of steps are those of experiments/rcnn.py. By default a batch
has more windows of each image, which cost this network little; with `--config.windows=16` the
batches are the same as well. `python -m bench.windows` measures the time that each network takes
for an image. Measured: the rows of B11 in experiments/README.md.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from experiments.common.assets import classes_of
from experiments.image.backbones import make_backbone
from experiments.image.detection import ANIMALS, BCCD, MODES, DetectionConfig, make_experiment
from experiments.image.detection_task import Detect
from nets.image.detector import SPPNet
from train import cli
from train.config import ConfigError, option
from train.task import Assets, Experiment


@dataclass(slots=True, kw_only=True)
class Config(DetectionConfig):
    """Settings of the network; those of the windows are in experiments/image/detection.py."""

    PRESETS: ClassVar = {
        "bccd": BCCD | {"steps": 1000, "eval_every": 500, "save_every": 500, "scales": (1.0,)},
        "animals": ANIMALS | {"steps": 1000, "eval_every": 500, "scales": (1.0,)},
    }
    TINY: ClassVar = {
        "proposals": "sliding",
        "most_images": 8,
        "max_windows": 8,
        "windows": 4,
        "levels": (2, 1),
        "scales": (1.0, 0.5),
        "hidden": 8,
        "dropout": 0.0,
    }

    window_size: int = option(
        64, "side of a window, in pixels", note="each is read at the nearest scale", minimum=1
    )
    levels: tuple[int, ...] = option(
        (4, 2, 1), "numbers of bins along each side of a window", minimum=1
    )
    scales: tuple[float, ...] = option(
        (2.0,), "factors of the sides of the image at which it is convolved", above=0
    )
    windows: int = DetectionConfig.changed("windows", 64)
    steps: int = DetectionConfig.changed("steps", 400)
    eval_every: int = DetectionConfig.changed("eval_every", 200)


def make_task(config: Config, assets: Assets) -> Detect:
    """Make the network for the classes of the objects."""
    classes = classes_of(assets)
    if not config.levels or not config.scales:
        raise ConfigError("config.levels and config.scales need at least one value")
    if min(config.scales) * config.image_size < 32:
        raise ConfigError(
            f"config.image_size {config.image_size} times the smallest of config.scales, "
            f"{min(config.scales):g}, must be 32 pixels or more"
        )
    model = SPPNet(
        make_backbone(config.backbone, config.precision, config.stride),
        len(classes),
        config.window_size,
        config.stride,
        config.levels,
        config.scales,
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
