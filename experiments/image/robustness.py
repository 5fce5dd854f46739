"""How far a classifier bears changes of its test images: --mode=robustness."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage

from data.images.augment import separable, weights
from experiments.common.pictures import save, sheet

Curves = Mapping[str, tuple[list[float], list[float]]]  # levels and accuracies of each change


def stretch(images: np.ndarray, tall: float, wide: float) -> np.ndarray:
    """Images [N, H, W, C] made larger about their centre by a factor along each axis."""
    axes = []
    for length, factor in zip(images.shape[1:3], (tall, wide), strict=True):
        centre = (length - 1) / 2
        axes.append(weights((np.arange(length)[None] - centre) / factor + centre, length))
    return separable(images, *axes)


def rotate(images: np.ndarray, degrees: float) -> np.ndarray:
    """Images turned to the left about their centre, bilinear."""
    return ndimage.rotate(images, degrees, axes=(2, 1), reshape=False, order=1)


def change_stroke(images: np.ndarray, pixels: float) -> np.ndarray:
    """Images whose bright strokes are wider by `pixels`, a whole number; negative: thinner.

    Grey dilation and erosion by a square of one pixel more a side.
    """
    morphology = ndimage.grey_dilation if pixels > 0 else ndimage.grey_erosion
    side = abs(int(pixels)) + 1
    return morphology(images, size=(1, side, side, 1)) if pixels else images


def flip_pixels(images: np.ndarray, level: float) -> np.ndarray:
    """Images in which each value v is 1 - v with probability level / 20, the same each time."""
    drawn = np.random.default_rng(0).random(images.shape)
    return np.where(drawn < level / 20, 1 - images, images).astype(np.float32)


@dataclass(frozen=True)
class Change:
    """A change of images by a level; `same` is the level that changes nothing."""

    name: str
    axis: str
    apply: Callable[[np.ndarray, float], np.ndarray]
    levels: tuple[float, ...]
    same: float


CHANGES = (
    Change(
        "scale",
        "size, times",
        lambda images, factor: stretch(images, factor, factor),
        (0.4, 0.55, 0.7, 0.85, 1, 1.2, 1.4, 1.6),
        1,
    ),
    Change("stroke width", "width, pixels more", change_stroke, (-2, -1, 0, 1, 2, 3, 4, 5), 0),
    Change(
        "squeeze",
        "width times, height divided by",
        lambda images, factor: stretch(images, 1 / factor, factor),
        (0.5, 0.65, 0.8, 1, 1.25, 1.5, 1.75, 2),
        1,
    ),
    Change("rotation", "degrees to the left", rotate, (-45, -30, -15, 0, 15, 30, 45, 60), 0),
    Change(
        "noise", "level: twentieths of the pixels", flip_pixels, (0, 0.5, 1, 1.5, 2, 3, 4, 6), 0
    ),
)


def robustness(task, predict) -> None:
    """--mode=robustness: measure and draw the accuracy on changed test images, by level.

    Writes the curves to config.picture, the numbers beside it with the ending .json, and one
    image under every change, with the answers, with _images before the ending.
    """
    path = Path(task.config.picture or "robustness.png")
    results = {change.name: measure(predict, task.test, change) for change in CHANGES}
    numbers = {
        name: {"levels": levels, "accuracy": accuracy}
        for name, (levels, accuracy) in results.items()
    }
    save(draw_curves({"": results}), str(path))
    samples = path.with_stem(f"{path.stem}_images")
    save(draw_samples(predict, next(iter(task.test)), task.classes), str(samples))
    path.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    print_curves(results)
    print(f"pictures: {path}, {samples}")


def print_curves(results: Curves) -> None:
    """Print a line for each change: its levels, each with the accuracy."""
    for name, (levels, accuracy) in results.items():
        shown = "  ".join(f"{a:g}: {b:.4f}" for a, b in zip(levels, accuracy, strict=True))
        print(f"{name:<13} {shown}")


def measure(predict, batches: Iterable, change: Change) -> tuple[list[float], list[float]]:
    """Levels of a change, and the accuracy at each of them over all examples."""
    right = np.zeros(len(change.levels))
    count = 0.0
    for batch in batches:
        count += batch["mask"].sum()
        for i, level in enumerate(change.levels):
            found = answers(predict, batch, change.apply(batch["image"], level))
            right[i] += (batch["mask"] * (found == batch["label"])).sum()
    return list(change.levels), (right / count).tolist()


def answers(predict, batch, images: np.ndarray) -> np.ndarray:
    """Most likely class int [B] of images that take the place of the batch's."""
    outputs, _ = predict({**batch, "image": images.astype(np.float32)})
    return np.asarray(outputs).argmax(axis=1)


def draw_curves(lines: Mapping[str, Curves]) -> Figure:
    """Accuracy against the level, a panel for each change, a line for each name.

    Where nothing changes there is a dotted line.
    """
    figure = Figure(figsize=(3 * len(CHANGES), 3.4), layout="constrained")
    panels = figure.subplots(1, len(CHANGES), sharey=True)
    for axis, change in zip(panels, CHANGES, strict=True):
        for name, results in lines.items():
            axis.plot(*results[change.name], "o-", markersize=4, label=name)
        axis.axvline(change.same, color="grey", linestyle=":")
        axis.set_title(change.name)
        axis.set_xlabel(change.axis)
        axis.set_ylim(0, 1.02)
        axis.grid(alpha=0.3)
    panels[0].set_ylabel("test accuracy")
    if len(lines) > 1:
        named = panels[0].get_legend_handles_labels()
        figure.legend(*named, loc="outside upper center", ncols=len(lines))
    return figure


def draw_samples(predict, batch, names: Sequence[str]) -> Figure:
    """A row for each change: an image of the batch at each level, with the answer over it."""
    images, titles = [], []
    for i, change in enumerate(CHANGES):
        row = i % int(batch["mask"].sum())
        for level in change.levels:
            changed = change.apply(batch["image"], level)
            guess = answers(predict, batch, changed)[row]
            images.append(changed[row])
            wrong = "" if guess == batch["label"][row] else " (wrong)"
            titles.append(f"{change.name} {level:g}\n{names[guess]}{wrong}")
    columns = len(CHANGES[0].levels)
    return sheet(np.stack(images), titles, "answers to changed test images", columns)
