"""Settings and data shared by experiments with labelled images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from data.catalogue import DataError
from data.images.augment import Augmentation
from data.images.labelled import EvaluationBatches, TrainingBatches, checksum, load_images
from experiments.common.assets import CLASSES, to_json
from experiments.common.settings import picture, validation_fraction
from train.config import OptimizerConfig, option
from train.optimizer import make_optimizer
from train.task import Experiment, MakeTask, Source

MODES = {
    "robustness": "experiments.image.robustness:robustness",
    "inside": "experiments.image.inside:look_inside",
    "classify": "experiments.image.own:classify",
}
SQUEEZE, SHEAR = 0.2, 0.25  # strength of config.distort; units in data/images/augment.py


@dataclass(slots=True, kw_only=True)
class AugmentationConfig(OptimizerConfig):
    """Settings of the augmentation of training images."""

    shift: float = option(
        2.0, "augmentation: maximum translation, in pixels", group="data", minimum=0
    )
    whole_shift: int = option(
        0, "augmentation: maximum translation by whole pixels", group="data", minimum=0
    )
    scale: float = option(
        0.1, "augmentation: maximum relative change of size", group="data", minimum=0, maximum=0.5
    )
    jitter: float = option(
        0.0, "augmentation: standard deviation of additive noise", group="data", minimum=0
    )
    distort: bool = option(
        False, "augmentation: random squeezing and shearing, as in LeCun et al. 1998", group="data"
    )
    flip: bool = option(False, "augmentation: random horizontal flips", group="data")
    erase: int = option(
        0,
        "augmentation: side of a randomly placed erased square, in pixels",
        note="0: none",
        group="data",
        minimum=0,
    )


@dataclass(slots=True, kw_only=True)
class ImageConfig(AugmentationConfig):
    """Settings of labelled images."""

    dataset: str = OptimizerConfig.changed(
        "dataset",
        "digits",
        "digits, mnist, fashion_mnist or another TFDS dataset of labelled images; or own images: "
        "folder:DIR, idx:DIR, npz:FILE, parquet:PATH or arrow:PATH",
    )
    validation_fraction: float = validation_fraction()
    figures_at: tuple[float, ...] = OptimizerConfig.changed("figures_at", (1.0,))


@dataclass(slots=True, kw_only=True)
class Config(ImageConfig):
    """Settings of MODES, the modes of a convolutional network, in addition."""

    picture: str = picture("robustness", "inside")
    input: str = option(
        "",
        "input file",
        note="images, comma-separated; with --mode=inside by default the test images",
        modes=("inside", "classify"),
    )
    layer: str = option(
        "", "layer to visualise", note="default: every convolution", modes=("inside",)
    )
    units: int = option(12, "number of units to draw per layer", modes=("inside",), minimum=1)


def make_augmentation(config: AugmentationConfig) -> Augmentation:
    """Augmentation of the training images by the settings."""
    return Augmentation(
        shift=config.shift,
        whole_shift=config.whole_shift,
        scale=config.scale,
        jitter=config.jitter,
        squeeze=SQUEEZE if config.distort else 0.0,
        shear=SHEAR if config.distort else 0.0,
        flip=config.flip,
        erase=config.erase,
    )


class ImageData(NamedTuple):
    """Classes, training batches, held-out sets and provenance of labelled images."""

    classes: tuple[str, ...]
    train: Source
    held_out: Mapping[str, Any]
    provenance: Mapping[str, Any]


def load_splits(
    config: Any, size: int, most: int | None = None
) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Training images, held-out sets and provenance; size x size pixels, padded or resampled.

    Without a split "validation", the last training images become it. most: number of training
    images that are used, the first ones; all by default.
    """
    splits = load_images(config.dataset, config.data_dir, size)
    if not {"train", "test"} <= set(splits):
        raise DataError(
            f"dataset {config.dataset} has splits {sorted(splits)}, needs train and test"
        )
    full, test = splits["train"], splits["test"]
    if "validation" in splits:
        train, validation = full, splits["validation"]
        sha256 = checksum(train, validation, test)
    else:
        held_out = max(1, round(len(full.labels) * config.validation_fraction))
        train, validation = full.subset(slice(None, -held_out)), full.subset(slice(-held_out, None))
        sha256 = checksum(full, test)
    train = train.subset(slice(most))
    provenance = {
        "dataset": config.dataset.split(":")[0],
        "train": len(train),
        "validation": len(validation),
        "test": len(test),
        "sha256": sha256,
    }
    return train, {"validation": validation, "test": test}, provenance


def load_data(config: ImageConfig, size: int = 32, most: int | None = None) -> ImageData:
    """Load images as `load_splits` does; those for training are augmented."""
    train, held_out, provenance = load_splits(config, size, most)
    batches = TrainingBatches(train, config.batch_size, config.seed, make_augmentation(config))
    return ImageData(train.classes, batches, held_out, provenance)


def make_experiment(config: ImageConfig, make_task: MakeTask, data: ImageData) -> Experiment:
    """Make an experiment of images, whose only asset is the names of their classes."""
    assets = {CLASSES: to_json(data.classes)}
    return Experiment(
        task=make_task(config, assets),
        optimizer=make_optimizer(config),
        train=data.train,
        evals={
            name: EvaluationBatches(images, config.batch_size)
            for name, images in data.held_out.items()
        },
        provenance=data.provenance,
        assets=assets,
    )
