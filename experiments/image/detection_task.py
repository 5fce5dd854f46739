"""Task of detectors: losses of windows, detections of whole images and their scores."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from tqdm import tqdm

from data.images.detection import Picture
from experiments.image.detection_scores import class_average_precision, mean_average_precision
from experiments.image.detections import Found, pairs
from nets.image.boxes import decode, encode, iou, nms
from nets.image.detector import WindowScores
from train.task import Mean, Task

DEVIATIONS = np.array([0.1, 0.1, 0.2, 0.2], np.float32)  # units of the regression targets
REGRESSED = 0.6  # least overlap of a window whose box is trained, as published
LEAST = 0.01  # smaller probabilities are no detections
MOST_GROWTH = 2.0  # largest change of the logarithm of a side
CLASSES_SHOWN = 20  # with more classes, their own average precisions are not logged


class Detect(Task):
    """Mean over windows of -log P(class given window) + weight [object] sum_j h(t_j - change_j).

    h is Huber's function, and t are the targets of `boxes.encode` in units of DEVIATIONS. Only the
    box of the window's own class is trained, if the window overlaps its object by REGRESSED or
    more. Classes and boxes are learned together, as in Girshick, "Fast R-CNN", 2015; --mode=svm
    fits both afterwards, as in the paper of R-CNN.
    """

    headline = "map"
    objective = "lost_map"

    def __init__(self, model: nn.Module, classes: Sequence[str], config: Any):
        self.model, self.classes, self.config = model, tuple(classes), config

    def inputs(self, batch):
        """Return the images and their windows."""
        return batch["image"], batch["window"]

    def means(self, outputs, batch):
        """Loss of both parts, the accuracy of the classes, and the overlap after regression."""
        label = batch["label"]
        real = jnp.ones(label.shape, bool)
        if "mask" in batch:
            real &= (batch["mask"] != 0)[:, None]
        nats = optax.softmax_cross_entropy_with_integer_labels(outputs.logits, label)
        of_class = jnp.maximum(label - 1, 0)[..., None, None]
        change = jnp.take_along_axis(outputs.changes, of_class, axis=2)[:, :, 0]
        regressed = real & (label > 0) & (batch["overlap"] >= REGRESSED)
        target = encode(batch["window"], batch["target"]) / DEVIATIONS
        huber = optax.huber_loss(change, jnp.where(regressed[..., None], target, change))
        boxes = decode(batch["window"], change * DEVIATIONS)
        better = jax.vmap(jax.vmap(lambda a, b: iou(a[None], b[None])[0, 0]))(
            boxes, batch["target"]
        )
        right = outputs.logits.argmax(axis=-1) == label
        return {
            "loss": Mean.from_values(nats + self.config.box_weight * huber.sum(axis=-1), real),
            "accuracy": Mean.from_values(right, real),
            "object_accuracy": Mean.from_values(right, real & (label > 0)),
            "window_overlap": Mean.from_values(batch["overlap"], regressed),
            "box_overlap": Mean.from_values(better, regressed),
        }

    def scores(self, predict, batches):
        """Mean average precision at overlaps of 0.5 and 0.75, and that of each class at 0.5."""
        return self.precision(list(self.found(predict, batches)), batches.pictures)

    def precision(self, found: Sequence[Found], pictures: Sequence[Picture]) -> dict[str, float]:
        """Return the scores of what was found in pictures."""
        classes = range(len(self.classes))
        of_class = [pairs(found, pictures, label) for label in classes]
        values = [class_average_precision(images) for images in of_class]
        strict = [class_average_precision(images, 0.75) for images in of_class]
        mean = float(np.nan_to_num(mean_average_precision(values)))
        scores = {
            "map": mean,
            "lost_map": 1 - mean,
            "map_75": float(np.nan_to_num(mean_average_precision(strict))),
        }
        if len(self.classes) <= CLASSES_SHOWN:
            named = zip(self.classes, values, strict=True)
            scores |= {f"ap_{name}": value for name, value in named if not np.isnan(value)}
        return scores

    def found(self, predict: Any, batches: Any) -> Iterator[Found]:
        """Yield what is found in each picture of a held-out set, in order."""
        count = len(batches.pictures)
        with tqdm(
            total=count, desc="detecting", unit="image", leave=False, disable=None, mininterval=1
        ) as bar:
            for indices, batch in batches.every_window():
                outputs = predict(batch)[0]
                sizes = [batches.pictures[i].image.shape[1::-1] for i in indices]
                yield from self.select(outputs, batch["window"], sizes)
                bar.update(len(indices))

    def select(
        self, outputs: WindowScores, windows: np.ndarray, sizes: Sequence[tuple[int, ...]]
    ) -> Iterator[Found]:
        """Yield the detections of images of `sizes`, (width, height), from their outputs."""
        logits, changes = np.asarray(outputs.logits), np.asarray(outputs.changes)
        if not self.config.box_weight:
            changes = np.zeros_like(changes)
        for row, size in enumerate(sizes):
            own = logits[row], changes[row], windows[row], np.array(size)
            boxes, scores, keep = jax.device_get(_select(*own, self.config.nms))
            yield Found(boxes, scores, keep, windows[row])

    def figures(self, predict, batches):
        """Draw detections before and after suppression, precision and recall, and mistakes."""
        from experiments.image.detection_pictures import figures

        return figures(list(self.found(predict, batches)), batches.pictures, self.classes)


@jax.jit
def _select(
    logits: jax.Array, changes: jax.Array, windows: jax.Array, size: jax.Array, threshold: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Boxes [K, N, 4], scores [K, N] and which of them remain, from outputs for windows [N, 4]."""
    changes = changes * DEVIATIONS
    limit = jnp.array([jnp.inf, jnp.inf, MOST_GROWTH, MOST_GROWTH])
    boxes = decode(windows[:, None], jnp.clip(changes, -limit, limit)).transpose(1, 0, 2)
    boxes = jnp.clip(boxes, 0, jnp.tile(size, 2))
    scores = jax.nn.softmax(logits)[:, 1:].T
    return boxes, scores, suppressed(boxes, jnp.where(scores >= LEAST, scores, -jnp.inf), threshold)


@jax.jit
def suppressed(boxes: jax.Array, scores: jax.Array, threshold: float) -> jax.Array:
    """Which boxes [K, N, 4] remain; one class at a time, since N x N overlaps are large."""
    return jax.lax.map(lambda pair: nms(*pair, threshold), (boxes, scores))
