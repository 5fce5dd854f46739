"""Settings, data and experiment shared by detectors of windows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data.images.detection import FORMS, Picture, load_annotated
from data.images.proposals import METHODS, proposals_of
from data.images.window_batches import EvaluationWindows, TrainingWindows
from data.tabular.batches import sha256_of
from experiments.common.assets import CLASSES, to_json
from experiments.common.settings import picture
from experiments.image.backbones import backbone, pretrained_values
from train.config import OptimizerConfig, option
from train.optimizer import make_optimizer
from train.task import Experiment, MakeTask

MODES = {
    "detect": "experiments.image.detection_modes:detect",
    "recall": "experiments.image.detection_modes:recall",
}
BCCD: dict[str, Any] = {
    "dataset": "bccd",
    "image_size": 320,
    "proposals": "both",
    "max_windows": 2000,
    "batch_size": 8,
    "windows": 48,
    "flip": True,
    "tint": 0.1,
}
ANIMALS: dict[str, Any] = {
    "image_size": 192,
    "proposals": "both",
    "max_windows": 600,
    "batch_size": 8,
    "windows": 32,
    "flip": True,
    "tint": 0.2,
    "dropout": 0.3,
}


@dataclass(slots=True, kw_only=True)
class DetectionConfig(OptimizerConfig):
    """Settings of images with objects, their windows, and the training of both detectors."""

    dataset: str = OptimizerConfig.changed("dataset", "scenes", ", ".join(FORMS))
    image_size: int = option(
        96,
        "side of the images, in pixels",
        note="the longer one, to which each is resized",
        group="data",
        minimum=32,
    )
    most_images: int = option(
        0, "largest number of images of each set", note="0: all", group="data", minimum=0
    )
    proposals: str = option(
        "selective",
        "windows: by selective search, on regular grids (sliding), or both in turn",
        group="data",
        choices=METHODS,
        free_in_modes=True,
    )
    max_windows: int = option(
        300,
        "largest number of windows of an image that are classified",
        note="2,000 in the paper",
        group="data",
        free_in_modes=True,
        minimum=1,
    )
    windows: int = option(16, "windows of each image in a batch", group="data", minimum=1)
    object_share: float = option(
        0.5,
        "largest share of windows with an object in a batch",
        note="0.25 in the paper: 32 of 128",
        group="data",
        above=0,
        below=1,
    )
    flip: bool = option(False, "augmentation: random horizontal flips", group="data")
    tint: float = option(
        0.0,
        "augmentation: largest relative change of each colour",
        group="data",
        minimum=0,
        below=1,
    )

    backbone: str = backbone()
    stride: int = option(
        8, "stride of the finest map that is read", note="2, 4, 8, 16 or 32", minimum=2
    )
    hidden: int = option(
        128, "hidden units per layer", note="of the layer before the scores", minimum=1
    )
    dropout: float = option(
        0.1, "dropout probability", note="of the layer before the scores", minimum=0, below=1
    )
    box_weight: float = option(
        1.0, "weight of the loss of the boxes", note="0: no regression of boxes", minimum=0
    )

    nms: float = option(
        0.3,
        "overlap above which the weaker of two detections of a class is dropped",
        minimum=0,
        maximum=1,
        free_in_modes=True,
    )
    least_score: float = option(
        0.5,
        "least probability of a detection that is printed and drawn",
        modes=("detect",),
        minimum=0,
        maximum=1,
    )
    input: str = option("", "input file", note="images, comma-separated", modes=("detect",))
    picture: str = picture("detect", "recall")

    batch_size: int = OptimizerConfig.changed("batch_size", 16, "in images")
    optimizer: str = OptimizerConfig.changed("optimizer", "adamw")
    learning_rate: float = OptimizerConfig.changed("learning_rate", 3e-3)
    weight_decay: float = OptimizerConfig.changed("weight_decay", 0.02)
    clip_norm: float = OptimizerConfig.changed("clip_norm", 5.0)
    warmup_steps: int = OptimizerConfig.changed("warmup_steps", 50)
    figures_at: tuple[float, ...] = OptimizerConfig.changed("figures_at", (1.0,))


@dataclass(frozen=True)
class WindowData:
    """Pictures of each set with their windows, and the classes."""

    pictures: Mapping[str, list[Picture]]
    windows: Mapping[str, list[np.ndarray]]
    classes: tuple[str, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)


def load_windows(config: DetectionConfig) -> WindowData:
    """Read the images and make their windows."""
    data = load_annotated(config.dataset, config.data_dir, config.image_size, config.most_images)
    windows = {
        split: proposals_of([p.image for p in pictures], config.proposals, config.max_windows)
        for split, pictures in data.sets.items()
    }
    arrays = [
        array for pictures in data.sets.values() for p in pictures for array in (p.image, p.boxes)
    ]
    provenance = {
        "dataset": config.dataset.partition(":")[0],
        **{split: len(pictures) for split, pictures in data.sets.items()},
        "sha256": sha256_of(*arrays),
    }
    return WindowData(data.sets, windows, data.classes, provenance)


def make_experiment(config: DetectionConfig, make_task: MakeTask) -> Experiment:
    """Make an experiment of the windows of images; the only asset is the names of the classes."""
    data = load_windows(config)
    assets = {CLASSES: to_json(data.classes)}
    shared = config.image_size, config.batch_size, config.windows, config.object_share
    return Experiment(
        task=make_task(config, assets),
        optimizer=make_optimizer(config),
        train=TrainingWindows(
            data.pictures["train"],
            data.windows["train"],
            *shared,
            config.seed,
            config.flip,
            config.tint,
        ),
        evals={
            split: EvaluationWindows(data.pictures[split], data.windows[split], *shared)
            for split in ("validation", "test")
        },
        provenance=data.provenance,
        assets=assets,
        pretrained=pretrained_values(config.backbone, "params/backbone"),
    )
