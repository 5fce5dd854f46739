"""Pictures shared by several experiments."""

import math
import unicodedata
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

MISTAKES = 24  # largest number of mistakes in a picture
CONFUSED = 40  # largest number of classes in a confusion matrix


def legend_text(name: str) -> str:
    """Name as a label of a line or patch; legends leave out labels that begin with "_"."""
    return f" {name}" if name.startswith("_") else name


def columns_of(text: str) -> int:
    """Columns of a monospaced font that a text takes: two for a wide one, as in Chinese."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide


def sheet(images: np.ndarray, titles: Sequence[str], title: str, columns: int = 6) -> Figure:
    """Draw images [N, H, W, 1 or 3] in rows of `columns`, each below its title."""
    columns = min(columns, max(1, len(images)))
    rows = max(1, math.ceil(len(images) / columns))
    figure = Figure(figsize=(1.6 * columns + 0.4, 1.7 * rows + 0.6), layout="constrained")
    figure.suptitle(title)
    no_ticks = {"frame_on": False, "xticks": (), "yticks": ()}  # laying out ticks is slow
    axes = figure.subplots(rows, columns, squeeze=False, subplot_kw=no_ticks).ravel()
    for axis, image, text in zip(axes, images, titles, strict=False):
        axis.imshow(image.squeeze(), cmap="gray")
        axis.set_title(text, fontsize=8, y=1)
    return figure


def filters_picture(kernel: np.ndarray) -> Figure:
    """Draw the kernels [h, w, 1 or 3, N] of a first layer, each scaled to its range of weights."""
    filters = np.moveaxis(np.asarray(kernel), -1, 0)
    low = filters.min(axis=(1, 2, 3), keepdims=True)
    high = filters.max(axis=(1, 2, 3), keepdims=True)
    titles = [str(i) for i in range(len(filters))]
    return sheet((filters - low) / (high - low), titles, "kernels of the first layer", 8)


def mistakes_picture(
    images: np.ndarray, labels: np.ndarray, logits: np.ndarray, names: Sequence[str]
) -> Figure:
    """Draw the most confident mistakes: images [N, H, W, 1 or 3] with labels [N] and logits [N, C].

    names: names of the C classes.
    """
    predictions = logits.argmax(axis=1)
    margins = logits.max(axis=1) - np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    worst = np.argsort(-margins, kind="stable")[: min(MISTAKES, int((margins > 0).sum()))]
    wrong = int((predictions != labels).sum())
    return sheet(
        images[worst],
        [f"{names[labels[i]]}, predicted {names[predictions[i]]}" for i in worst],
        f"the most confident of {wrong} mistakes on {len(labels)} examples",
    )


def confusion_picture(labels: np.ndarray, predictions: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw the counts of (label, prediction), on a colour scale set by the mistakes alone.

    If there are more than CONFUSED classes, only those with the most mistakes are drawn.
    """
    size = len(names)
    title = f"{int((labels != predictions).sum())} mistakes on {len(labels)} examples"
    if size > CONFUSED:
        wrong = labels != predictions
        mistakes = np.bincount(labels[wrong], minlength=size)
        mistakes += np.bincount(predictions[wrong], minlength=size)
        drawn = np.sort(np.argsort(-mistakes, kind="stable")[:CONFUSED])
        title += f"\nshown: the {CONFUSED} of {size} classes with the most"
        both = np.isin(labels, drawn) & np.isin(predictions, drawn)
        labels, predictions = (np.searchsorted(drawn, x[both]) for x in (labels, predictions))
        names, size = [names[i] for i in drawn], CONFUSED
    counts = np.bincount(labels * size + predictions, minlength=size * size).reshape(size, size)
    wrong = counts * (1 - np.eye(size, dtype=int))
    figure = Figure(figsize=(0.5 * size + 1.8, 0.5 * size + 1.4), layout="constrained")
    axis = figure.subplots()
    axis.imshow(wrong, cmap="Reds", vmin=0, vmax=max(1, wrong.max()))
    for label, prediction in np.ndindex(size, size):
        if counts[label, prediction]:
            dark = wrong[label, prediction] > 0.6 * wrong.max()
            axis.text(
                prediction,
                label,
                str(counts[label, prediction]),
                ha="center",
                va="center",
                fontsize=8,
                color="white" if dark else "black",
            )
    rotation = 90 if max(map(len, names)) > 2 else 0
    axis.set_xticks(range(size), names, rotation=rotation)
    axis.set_yticks(range(size), names)
    axis.set_xlabel("prediction")
    axis.set_ylabel("label")
    axis.set_title(title)
    return figure
