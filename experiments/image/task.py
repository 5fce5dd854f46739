"""What experiments with labelled images share: settings, data, the task and its pictures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from matplotlib.figure import Figure

from data.catalogue import DataError
from data.images.augment import Augmentation
from data.images.labelled import EvaluationBatches, TrainingBatches, checksum, load_images
from experiments.common.pictures import confusion_picture, sheet
from experiments.image.inside import look_inside
from experiments.image.robustness import robustness
from train.config import Config as SharedConfig
from train.config import changed, option
from train.optimizer import make_optimizer
from train.task import Batch, Experiment, Mean, Task

MODES = {"robustness": robustness, "inside": look_inside}
DISTORTIONS = {"squeeze": 0.2, "shear": 0.25}  # of config.distort: see data/images/augment.py


@dataclass(slots=True, kw_only=True)
class Config(SharedConfig):
    """Settings of the data, and of a training that suits it."""

    dataset: str = option("digits", "digits, mnist, fashion_mnist, or another with labelled images")
    held_out: float = option(
        0.1, "share of the training images for validation", above=0, maximum=0.5
    )
    shift: float = option(2.0, "augmentation: largest shift, pixels", minimum=0)
    scale: float = option(
        0.1, "augmentation: largest relative change of size", minimum=0, maximum=0.5
    )
    jitter: float = option(0.0, "augmentation: standard deviation of noise", minimum=0)
    distort: bool = option(
        False, "augmentation: squeeze and shear as well, after LeCun et al. 1998"
    )

    picture: str = option(
        "", "file that a mode draws; empty: robustness.png, inside.png", volatile=True
    )
    layer: str = option("", "that --mode=inside looks into; empty: each convolution", volatile=True)
    units: int = option(12, "of a layer that --mode=inside draws", minimum=1, volatile=True)
    flip: bool = option(False, "augmentation: left and right change places, by chance")
    erase: int = option(0, "augmentation: side of a square that is blanked, pixels", minimum=0)

    figures_at: tuple[float, ...] = changed("figures_at", (1.0,))


class Classify(Task):
    """Mean of -log P(label given image)."""

    headline = "accuracy"
    config: Config  # both are given by make_experiment
    test: EvaluationBatches

    def __init__(self, model: nn.Module, classes: tuple[str, ...]):
        self.model, self.classes = model, classes

    def inputs(self, batch, carry):
        """Return the images."""
        return (batch["image"],)

    def losses(self, outputs, labels):
        """Loss [B] of outputs [B, classes]: in nats."""
        return optax.softmax_cross_entropy_with_integer_labels(outputs, labels)

    def means(self, outputs, batch):
        """Loss and accuracy."""
        right = jnp.argmax(outputs, axis=-1) == batch["label"]
        values = {"loss": self.losses(outputs, batch["label"]), "accuracy": right}
        return {name: Mean.of(value, batch.get("mask")) for name, value in values.items()}

    def pictures(self, batch) -> np.ndarray:
        """Return what is drawn of each example, images [B, H, W, C]."""
        return batch["image"]

    def figures(self, predict, batches) -> dict[str, Figure]:
        """Return the confusion matrix, and the mistakes made with most confidence."""
        seen = [
            [
                part[batch["mask"] > 0]
                for part in (self.pictures(batch), batch["label"], predict(batch)[0])
            ]
            for batch in batches
        ]
        images, labels, logits = (np.concatenate(parts) for parts in zip(*seen, strict=True))
        guesses = logits.argmax(axis=1)
        doubt = logits.max(axis=1) - np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
        worst = np.argsort(-doubt, kind="stable")[: min(24, int((doubt > 0).sum()))]
        names = self.classes
        return {
            "confusion": confusion_picture(labels, guesses, names),
            "mistakes": sheet(
                images[worst],
                [f"{names[labels[i]]}, taken for {names[guesses[i]]}" for i in worst],
                f"the worst of {int((guesses != labels).sum())} mistakes in {len(labels)}",
            ),
        }


def augmentation_of(config: Config) -> Augmentation:
    """What a config asks to be done to training images."""
    distortions = DISTORTIONS if config.distort else {}
    return Augmentation(
        *(config.shift, config.scale, config.jitter),
        flip=config.flip,
        erase=config.erase,
        **distortions,
    )


def assemble(
    config: Config,
    task: Classify,
    train: Callable[[int], Batch],
    held_out: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> Experiment:
    """Make the experiment of a task; held_out: sets as `EvaluationBatches` takes them, a "test"."""
    evals = {name: EvaluationBatches(part, config.batch_size) for name, part in held_out.items()}
    task.config, task.test = config, evals["test"]
    return Experiment(task, make_optimizer(config), train, evals, provenance)


def make_experiment(
    config: Config, make_task: Callable[[tuple[str, ...]], Classify], size: int = 32
) -> Experiment:
    """Load the images, size x size; make the batches, and the task for the names of the classes."""
    splits = load_images(config.dataset, config.data_dir, size)
    if not {"train", "test"} <= set(splits):
        raise DataError(
            f"dataset {config.dataset} has splits {sorted(splits)}, needs train and test"
        )
    full, test = splits["train"], splits["test"]
    held_out = max(1, round(len(full.labels) * config.held_out))
    train, validation = full.part(slice(None, -held_out)), full.part(slice(-held_out, None))
    provenance = {
        "dataset": config.dataset,
        "train": len(train),
        "validation": held_out,
        "test": len(test),
        "sha256": checksum(full, test),
    }
    batches = TrainingBatches(train, config.batch_size, config.seed, augmentation_of(config))
    parts = {"validation": validation, "test": test}
    return assemble(config, make_task(full.classes), batches, parts, provenance)
