"""Experiments with photographs: settings, and what is made of them in place of small images."""

from collections.abc import Callable
from dataclasses import dataclass

from data.images.photos import PhotoBatches, are_photos, load_photos, principal_colours
from experiments.common.classification import Classify
from experiments.image.task import Config as ImageConfig
from experiments.image.task import assemble, augmentation_of, make_experiment
from train.config import option
from train.task import Experiment


@dataclass(slots=True, kw_only=True)
class Config(ImageConfig):
    """Settings of photographs; those of all images are in experiments/image/task.py."""

    image_size: int = option(32, "side of the images, in pixels", group="data", minimum=1)
    colour_noise: float = option(
        0.1,
        "augmentation: standard deviation of noise along the principal colours",
        note="photographs only",
        group="data",
        minimum=0,
    )


def make_any_experiment(
    config: Config, make_task: Callable[[tuple[str, ...], bool], Classify]
) -> Experiment:
    """Make an experiment with photographs where images of a dataset differ in size.

    With small images in memory otherwise. make_task(classes, small) makes the task for either.
    """
    if not are_photos(config.dataset, config.data_dir):
        return make_experiment(config, lambda classes: make_task(classes, True), config.image_size)
    parts = load_photos(
        config.dataset, config.data_dir, config.image_size, config.validation_fraction
    )
    train = parts["train"]
    batches = PhotoBatches(
        train,
        config.batch_size,
        config.seed,
        augmentation_of(config),
        config.colour_noise,
        principal_colours(train),
    )
    provenance = {"dataset": config.dataset, **{name: len(part) for name, part in parts.items()}}
    held_out = {name: parts[name] for name in ("validation", "test")}
    return assemble(config, make_task(train.classes, False), batches, held_out, provenance)
