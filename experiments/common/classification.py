"""Task of a classifier: loss, accuracy, confusion matrix, and the most confident mistakes."""

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from train.task import Mean, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Classify(Task):
    """Mean of -log P(label given input), in nats."""

    headline = "accuracy"

    def __init__(self, model: nn.Module, classes: tuple[str, ...]):
        self.model, self.classes = model, classes

    def inputs(self, batch):
        """Return the images."""
        return (batch["image"],)

    def losses(self, outputs, labels):
        """Loss [B] of logits [B, classes], in nats."""
        return optax.softmax_cross_entropy_with_integer_labels(outputs, labels)

    def means(self, outputs, batch):
        """Loss and accuracy."""
        right = jnp.argmax(outputs, axis=-1) == batch["label"]
        values = {"loss": self.losses(outputs, batch["label"]), "accuracy": right}
        return {name: Mean.from_values(value, batch.get("mask")) for name, value in values.items()}

    def example_images(self, batch) -> np.ndarray:
        """Return an image of each example for the figures, [B, H, W, C]."""
        return batch["image"]

    def figures(self, predict, batches) -> dict[str, "Figure"]:
        """Draw the confusion matrix and the most confident mistakes."""
        from experiments.common.pictures import confusion_picture, mistakes_picture

        # on the host: a selection on several devices would be one program for each shape
        rows = [
            [
                np.asarray(values)[batch["mask"] > 0]
                for values in (self.example_images(batch), batch["label"], predict(batch)[0])
            ]
            for batch in batches
        ]
        images, labels, logits = (np.concatenate(arrays) for arrays in zip(*rows, strict=True))
        return {
            "confusion": confusion_picture(labels, logits.argmax(axis=1), self.classes),
            "mistakes": mistakes_picture(images, labels, logits, self.classes),
        }
