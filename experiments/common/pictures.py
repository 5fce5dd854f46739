"""Pictures that several experiments draw."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from data.catalogue import DataError


def save(figure: Figure, path: str) -> None:
    """Write a picture to the file that a user named; DataError when it cannot be written."""
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:  # the second is of an ending that names no format
        raise DataError(f"cannot write picture {path!r}: {error}") from None


def sheet(images: np.ndarray, titles: Sequence[str], title: str, columns: int = 6) -> Figure:
    """Draw images [N, H, W, 1 or 3] side by side in rows of `columns`, each under its title."""
    columns = min(columns, max(1, len(images)))
    rows = max(1, math.ceil(len(images) / columns))
    figure = Figure(figsize=(1.6 * columns + 0.4, 1.7 * rows + 0.6), layout="constrained")
    figure.suptitle(title)
    no_ticks = {"frame_on": False, "xticks": (), "yticks": ()}  # else each is measured and drawn
    axes = figure.subplots(rows, columns, squeeze=False, subplot_kw=no_ticks).ravel()
    for axis, image, text in zip(axes, images, titles, strict=False):
        axis.imshow(image.squeeze(), cmap="gray")
        axis.set_title(text, fontsize=8, y=1)
    return figure


def filters_picture(kernel: np.ndarray) -> Figure:
    """Draw a first layer's kernels [h, w, 1 or 3, N], each from lowest to highest weight."""
    filters = np.moveaxis(np.asarray(kernel), -1, 0)
    low, high = (end(filters, axis=(1, 2, 3), keepdims=True) for end in (np.min, np.max))
    titles = [str(i) for i in range(len(filters))]
    return sheet((filters - low) / (high - low), titles, "kernels of the first layer", 8)


def confusion_picture(labels: np.ndarray, guesses: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw counts of (label, guess), mistakes alone setting the colour scale."""
    size = len(names)
    counts = np.bincount(labels * size + guesses, minlength=size * size).reshape(size, size)
    wrong = counts * (1 - np.eye(size, dtype=int))
    figure = Figure(figsize=(0.5 * size + 1.8, 0.5 * size + 1.4), layout="constrained")
    axis = figure.subplots()
    axis.imshow(wrong, cmap="Reds", vmin=0, vmax=max(1, wrong.max()))
    for label, guess in np.ndindex(size, size):
        if counts[label, guess]:
            dark = wrong[label, guess] > 0.6 * wrong.max()
            axis.text(
                guess,
                label,
                str(counts[label, guess]),
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
    axis.set_title(f"{int(wrong.sum())} mistakes in {len(labels)}")
    return figure
