"""The task of every classifier: its loss, accuracy, confusion matrix and worst mistakes."""

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from data.images.labelled import EvaluationBatches
from train.task import Mean, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Classify(Task):
    """Mean of -log P(label given image)."""

    headline = "accuracy"
    config: Any  # both are given by the experiment's `make_experiment`
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
        return {name: Mean.from_values(value, batch.get("mask")) for name, value in values.items()}

    def pictures(self, batch) -> np.ndarray:
        """Return what is drawn of each example, images [B, H, W, C]."""
        return batch["image"]

    def figures(self, predict, batches) -> dict[str, "Figure"]:
        """Return the confusion matrix, and the mistakes made with most confidence."""
        from experiments.common.pictures import confusion_picture, sheet

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
