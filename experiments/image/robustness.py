"""Accuracy of a classifier on distorted test images: --mode=robustness."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage

from data.images.augment import separable, weights
from experiments.common.output import picture_of, save_to
from experiments.common.pictures import sheet
from train.drawing import INTERVAL_RUNS, MARKERS, line_style
from train.trained import TrainedRun

Curves = Mapping[str, tuple[list[float], list[float]]]  # (levels, accuracies) of each change


class Line(NamedTuple):
    """Accuracy at each of L levels: the mean over R runs, its 95 % interval, and single runs.

    halves: half the interval at each level, not drawn for fewer than INTERVAL_RUNS runs. runs:
    [R, L], empty for one run.
    """

    levels: Sequence[float]
    mean: Sequence[float]
    halves: Sequence[float] = ()
    runs: Sequence[Sequence[float]] = ()


def stretch(images: np.ndarray, vertical: float, horizontal: float) -> np.ndarray:
    """Magnify images [N, H, W, C] about their centre, by one factor along each axis."""
    axes = []
    for length, factor in zip(images.shape[1:3], (vertical, horizontal), strict=True):
        centre = (length - 1) / 2
        axes.append(weights((np.arange(length)[None] - centre) / factor + centre, length))
    return separable(images, *axes)


def rotate(images: np.ndarray, degrees: float) -> np.ndarray:
    """Rotate images counter-clockwise about their centre, with bilinear interpolation."""
    return ndimage.rotate(images, degrees, axes=(2, 1), reshape=False, order=1)


def change_stroke(images: np.ndarray, pixels: float) -> np.ndarray:
    """Widen the bright strokes of images by `pixels`, an integer; a negative number thins them.

    Grey-scale dilation or erosion by a square with sides of |pixels| + 1.
    """
    morphology = ndimage.grey_dilation if pixels > 0 else ndimage.grey_erosion
    side = abs(int(pixels)) + 1
    return morphology(images, size=(1, side, side, 1)) if pixels else images


def flip_pixels(images: np.ndarray, level: float) -> np.ndarray:
    """Invert each pixel, v to 1 - v, with probability level / 20; the draws are always the same."""
    draws = np.random.default_rng(0).random(images.shape)
    return np.where(draws < level / 20, 1 - images, images).astype(np.float32)


@dataclass(frozen=True)
class Change:
    """A change of images, and its levels; at level `neutral` it changes nothing.

    axis: label of the axis of levels. apply(images, level) -> changed images.
    """

    name: str
    axis: str
    apply: Callable[[np.ndarray, float], np.ndarray]
    levels: tuple[float, ...]
    neutral: float


CHANGES = (
    Change(
        "scale",
        "relative size",
        lambda images, factor: stretch(images, factor, factor),
        (0.4, 0.55, 0.7, 0.85, 1, 1.2, 1.4, 1.6),
        1,
    ),
    Change(
        "stroke width",
        "change of the width, in pixels",
        change_stroke,
        (-2, -1, 0, 1, 2, 3, 4, 5),
        0,
    ),
    Change(
        "squeeze",
        "width factor, height divisor",
        lambda images, factor: stretch(images, 1 / factor, factor),
        (0.5, 0.65, 0.8, 1, 1.25, 1.5, 1.75, 2),
        1,
    ),
    Change(
        "rotation",
        "degrees counter-clockwise",
        rotate,
        (-45, -30, -15, 0, 15, 30, 45, 60),
        0,
    ),
    Change(
        "noise",
        "inverted pixels, in twentieths",
        flip_pixels,
        (0, 0.5, 1, 1.5, 2, 3, 4, 6),
        0,
    ),
)


def robustness(run: TrainedRun) -> None:
    """Measure and draw the accuracy on perturbed test images.

    Writes the curves to config.picture or robustness.png, the numbers to robustness.json beside it,
    and a sample image under every change, with the predictions, to robustness_images.png.
    """
    curves = picture_of(run, "robustness")
    samples = picture_of(run, "robustness", "_images")
    values = curves.beside(f"{curves.path.stem}.json")
    predict = run.predict
    test = run.held_out("test")
    results = {change.name: measure(predict, test, change) for change in CHANGES}
    numbers = {
        name: {"levels": levels, "accuracy": accuracy}
        for name, (levels, accuracy) in results.items()
    }
    lines = {name: Line(*curve) for name, curve in results.items()}
    figures = {
        curves: draw_curves({"": lines}),
        samples: draw_samples(predict, next(iter(test)), run.task.classes),
    }
    pictures = [save_to(output, figure) for output, figure in figures.items()]
    said = values.write(f"{json.dumps(numbers, indent=1)}\n".encode())
    print_curves(results)
    print(f"pictures: {', '.join(pictures)}; numbers: {said}")


def print_curves(results: Curves) -> None:
    """Print one line per change: each level with its accuracy."""
    for name, (levels, accuracy) in results.items():
        values = "  ".join(f"{a:g}: {b:.4f}" for a, b in zip(levels, accuracy, strict=True))
        print(f"{name:<13} {values}")


def measure(predict, batches: Iterable, change: Change) -> tuple[list[float], list[float]]:
    """Levels of a change, and the accuracy over all examples at each of them."""
    correct = np.zeros(len(change.levels))
    count = 0.0
    for batch in batches:
        count += batch["mask"].sum()
        for i, level in enumerate(change.levels):
            predicted = classify(predict, batch, change.apply(batch["image"], level))
            correct[i] += (batch["mask"] * (predicted == batch["label"])).sum()
    return list(change.levels), (correct / count).tolist()


def classify(predict, batch, images: np.ndarray) -> np.ndarray:
    """Most probable class int [B] of images [B, H, W, C] that replace those of the batch."""
    outputs, _ = predict({**batch, "image": images.astype(np.float32)})
    return np.asarray(outputs).argmax(axis=1)


def draw_curves(lines: Mapping[str, Mapping[str, Line]]) -> Figure:
    """Draw accuracy against level: one panel per change, one line per name in `lines`.

    Bars are the 95 % intervals of several runs, points the runs that are too few for an interval. A
    dotted line marks the level at which nothing changes.
    """
    figure = Figure(figsize=(3 * len(CHANGES), 3.6), layout="constrained")
    panels = figure.subplots(1, len(CHANGES), sharey=True)
    for axis, change in zip(panels, CHANGES, strict=True):
        for i, (name, of_change) in enumerate(lines.items()):
            line = of_change[change.name]
            many = len(line.runs) >= INTERVAL_RUNS
            style = {**line_style(i), "marker": MARKERS[i % len(MARKERS)], "markersize": 4}
            axis.errorbar(
                line.levels,
                line.mean,
                line.halves if many else None,
                **style,
                capsize=3,
                label=name,
            )
            for accuracies in () if many else line.runs:
                single = {**style, "linestyle": "", "markersize": 6, "markerfacecolor": "none"}
                axis.plot(line.levels, accuracies, **single)
        axis.axvline(change.neutral, color="grey", linestyle=":")
        axis.set_title(change.name)
        axis.set_xlabel(change.axis)
        axis.set_ylim(0, 1)
        axis.grid(alpha=0.3)
    panels[0].set_ylabel("test accuracy")
    if len(lines) > 1:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(lines))
    else:
        figure.suptitle("accuracy on changed test images")
    return figure


def draw_samples(predict, batch, names: Sequence[str]) -> Figure:
    """Draw one row per change: an image of the batch at each level, below its prediction."""
    images, titles = [], []
    for i, change in enumerate(CHANGES):
        row = i % int(batch["mask"].sum())
        for level in change.levels:
            changed = change.apply(batch["image"], level)
            predicted = classify(predict, batch, changed)[row]
            images.append(changed[row])
            wrong = "" if predicted == batch["label"][row] else " (wrong)"
            titles.append(f"{change.name} {level:g}\n{names[predicted]}{wrong}")
    columns = len(CHANGES[0].levels)
    return sheet(np.stack(images), titles, "predictions for distorted test images", columns)
