"""Task of segmentation: the class of every pixel, its scores and pictures."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy import ndimage

from data.images.voc import VOID
from experiments.common.pictures import legend_text
from experiments.image.segmentation_scores import confusion, segmentation_scores
from nets.image.fcn import enlarge
from train.drawing import OUTLINE
from train.task import Mean, Task

ACCURACY = "pixel_accuracy"
BAND = 3  # pixels on either side of an edge between classes
SHOWN = 4  # images of a picture
NAMED = 0.01  # least share of the pixels of a class whose name is written into a picture
# colours that differ in brightness as well as in hue
PALETTE = (
    *("#332288", "#88CCEE", "#DDDDDD", "#AA4499", "#CC6677", "#117733", "#DDCC77", "#882255"),
    *("#44AA99", "#EE7733", "#999933", "#000000", "#EE3377", "#0077BB", "#BBBBBB", "#66CCEE"),
    *("#CCBB44", "#228833", "#AA3377", "#4477AA", "#EE6677"),
)


class Segment(Task):
    """Weighted mean over pixels of -log P(class given image), in nats."""

    headline = "mean_iu"

    def __init__(self, model: nn.Module, classes: Sequence[str], weights: Sequence[float]):
        self.model, self.classes = model, tuple(classes)
        self.weights = np.array(weights, np.float32)

    def inputs(self, batch):
        """Return the images."""
        return (batch["image"],)

    def means(self, outputs, batch):
        """Loss, weighted by class, and the share of right pixels."""
        label = batch["label"]
        outputs = at_labels(outputs, label)
        real = label != VOID
        if "mask" in batch:
            real &= (batch["mask"] != 0)[:, None, None]
        label = jnp.where(real, label, 0)
        losses = optax.softmax_cross_entropy_with_integer_labels(outputs, label)
        losses = jnp.where(real, losses, 0)  # void may be anything
        weight = jnp.where(real, jnp.asarray(self.weights)[label], 0)
        return {
            "loss": Mean((weight * losses).sum(), weight.sum()),
            "pixel_accuracy": Mean.from_values(outputs.argmax(axis=-1) == label, real),
        }

    def scores(self, predict, batches):
        """Scores of all pixels, and of those near an edge between two classes."""
        scores = PixelScores(self.classes)
        for batch in batches:
            answers, labels = answers_of(predict, batch)
            scores.add(labels, answers)
        values = scores.values()
        del values[ACCURACY]  # it is one of the means
        return values

    def figures(self, predict, batches):
        """Draw the first images with their classes and the answers."""
        batch = next(iter(batches))
        answers, labels = answers_of(predict, batch)
        columns = {"truth": labels[:SHOWN], "answer": answers[:SHOWN]}
        images = batch["image"][: len(labels)][:SHOWN]
        return {"segmentation": picture(images, columns, self.classes)}


class PixelScores:
    """Scores of many images: of all pixels, and as edge_* of those near an edge between classes."""

    def __init__(self, classes: Sequence[str]):
        size = len(classes)
        self.everywhere, self.edges = np.zeros((2, size, size), np.int64)

    def add(self, labels: np.ndarray, answers: np.ndarray) -> None:
        """Count true and predicted classes [N, H, W]."""
        size = len(self.everywhere)
        self.everywhere += confusion(labels, answers, size)
        self.edges += confusion(np.where(near_edges(labels), labels, VOID), answers, size)

    def values(self) -> dict[str, float]:
        """Return the scores by name; without an edge none of edges."""
        scores = segmentation_scores(self.everywhere)
        if self.edges.any():
            near = segmentation_scores(self.edges)
            scores |= {f"edge_{name}": near[name] for name in (ACCURACY, "mean_iu")}
        return scores


def at_labels(outputs: jax.Array, label: jax.Array) -> jax.Array:
    """Logits [B, H, W, classes] at the size of the labels [B, H, W]."""
    size = label.shape[1], label.shape[2]
    return outputs if outputs.shape[1:3] == size else enlarge(outputs, size)


@partial(jax.jit, static_argnums=1)
def _classes(outputs: jax.Array, size: tuple[int, int]) -> jax.Array:
    return enlarge(outputs, size).argmax(axis=-1).astype(jnp.uint8)


def answers_of(predict, batch) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true classes [N, H, W] of the real images of a batch."""
    count = int(batch["mask"].sum())
    answers = _classes(predict(batch)[0], batch["label"].shape[1:])
    return np.asarray(answers)[:count], batch["label"][:count]


def near_edges(labels: np.ndarray) -> np.ndarray:
    """Bool [N, H, W]: pixels at most BAND rows and columns from a pixel of another class."""
    size = (1, 2 * BAND + 1, 2 * BAND + 1)
    low = ndimage.minimum_filter(np.where(labels == VOID, 255, labels), size)
    high = ndimage.maximum_filter(np.where(labels == VOID, -1, labels), size)
    return (low < high) & (labels != VOID)


def class_weights(counts: np.ndarray, kind: str) -> list[float]:
    """Weights of the classes in the loss, from the pixels [images, classes] of each class.

    none: 1. median: median frequency over that of the class, which is its share in the pixels of
    the images that contain it; 0 for a class that occurs nowhere. Source: Eigen and Fergus,
    "Predicting depth, surface normals and semantic labels with a common multi-scale convolutional
    architecture", 2015. median_root: its square root, so that the rare classes gain without the
    frequent ones losing as much. logarithm: 1 / ln(1.02 + p), where p is its share in all pixels.
    Source: Paszke et al., "ENet: a deep neural network architecture for real-time semantic
    segmentation", 2016.
    """
    if kind == "none":
        return [1.0] * counts.shape[1]
    totals = counts.sum(axis=0)
    if kind == "logarithm":
        return [float(1 / np.log(1.02 + p)) for p in totals / totals.sum()]
    pixels = ((counts > 0) * counts.sum(axis=1, keepdims=True)).sum(axis=0)
    frequencies = totals / np.maximum(pixels, 1)
    median = np.median(frequencies[frequencies > 0])
    power = 0.5 if kind == "median_root" else 1.0
    return [float((median / f) ** power) if f else 0.0 for f in frequencies]


def name_regions(axis: Axes, labels: np.ndarray, classes: Sequence[str]) -> None:
    """Write the name of each class with at least NAMED of the pixels, where it is widest."""
    for i, name in enumerate(classes):
        inside = np.pad(labels == i, 1)  # the border of the image counts as an edge
        if inside.sum() >= NAMED * labels.size:
            depth = ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
            y, x = np.unravel_index(depth.argmax(), depth.shape)
            axis.text(x, y, name, fontsize=7, ha="center", va="center", path_effects=OUTLINE)


def picture(
    images: np.ndarray,
    columns: dict[str, np.ndarray],
    classes: Sequence[str],
    inches: float = 2.4,
) -> Figure:
    """Draw images [N, h, w, 3], and classes [N, H, W] by name beside them, with a legend.

    inches: width of each.
    """
    rows, width = len(images), 1 + len(columns)
    height = inches * images.shape[1] / images.shape[2]
    figure = Figure(figsize=(inches * width + 1.6, height * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, width, squeeze=False)
    listed = ListedColormap([PALETTE[i % len(PALETTE)] for i in range(len(classes))])
    colours = listed.with_extremes(over="white")  # void
    for row, image in enumerate(images):
        axes[row, 0].imshow(image)
        for column, labels in enumerate(columns.values(), 1):
            shown = {"vmin": -0.5, "vmax": len(classes) - 0.5, "interpolation": "nearest"}
            axes[row, column].imshow(labels[row], cmap=colours, **shown)
            name_regions(axes[row, column], labels[row], classes)
        for axis in axes[row]:
            axis.set(xticks=(), yticks=())
    for axis, title in zip(axes[0], ["image", *columns], strict=True):
        axis.set_title(title)
    patches = [Patch(color=colours(i), label=legend_text(name)) for i, name in enumerate(classes)]
    figure.legend(handles=patches, loc="outside right upper", fontsize=8, frameon=False)
    return figure
