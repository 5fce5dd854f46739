"""A picture of the weights of a first layer, and of those to the outputs."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

COLUMNS = 10  # units in a row
COLOURS = "PuOr"  # orange for negative and purple for positive weights


def weights_picture(
    layers: Mapping[str, tuple[np.ndarray, np.ndarray | None]], classes: Sequence[str]
) -> Figure:
    """Draw one or several states of a layer, such as before and after training, below each other.

    layers: by a title, the weights [H, W, U] from the pixels to each unit, and those [U, classes]
    to the outputs, or None. Each state has its own scale, symmetric about zero.
    """
    count = next(iter(layers.values()))[0].shape[-1]
    columns = min(count, COLUMNS)
    rows = math.ceil(count / columns)
    outputs = any(output is not None for _, output in layers.values())
    beside = 1.4 + 0.28 * count if outputs else 0.0
    tall = max(1.5 * rows, 0.28 * len(classes)) if outputs else 1.5 * rows
    figure = Figure(
        figsize=(1.35 * columns + beside + 1.4, (tall + 0.7) * len(layers)), layout="constrained"
    )
    parts = figure.subfigures(len(layers), 1, squeeze=False)[:, 0]
    for part, (title, (first, output)) in zip(parts, layers.items(), strict=True):
        name = f"{title}: " if title else ""
        part.suptitle(f"{name}weights of each unit, by pixel", fontsize=10)
        left, right = part.subfigures(1, 2, width_ratios=(1.35 * columns + 0.9, beside + 0.5))
        no_ticks = {"frame_on": False, "xticks": (), "yticks": ()}
        axes = left.subplots(rows, columns, squeeze=False, subplot_kw=no_ticks)
        limit = np.abs(first).max()
        for unit, axis in enumerate(axes.ravel()[:count]):
            image = axis.imshow(first[..., unit], cmap=COLOURS, vmin=-limit, vmax=limit)
            axis.set_title(f"unit {unit}", fontsize=8)
        left.colorbar(image, ax=axes, label="weight", shrink=0.8)
        if output is not None:
            draw_outputs(right, output, classes)
    return figure


def draw_outputs(figure, weights: np.ndarray, classes: Sequence[str]) -> None:
    """Draw weights [U, classes] from the units to the outputs."""
    axis, limit = figure.subplots(), np.abs(weights).max()
    image = axis.imshow(weights.T, cmap=COLOURS, vmin=-limit, vmax=limit, aspect="auto")
    axis.set_xticks(range(len(weights)))
    axis.set_yticks(range(len(classes)), classes)
    axis.tick_params(labelsize=8)
    axis.set_xlabel("unit")
    axis.set_title("weights to the outputs", fontsize=8)
    figure.colorbar(image, ax=axis, label="weight")
