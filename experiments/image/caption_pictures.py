"""Pictures of captions: images with their captions, and attention over an image."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

COLUMNS = 4


def captions_picture(images: np.ndarray, texts: Mapping[str, Sequence[str]]) -> Figure:
    """Draw images [N, H, W, 3] in 0 .. 1 above their captions, by the names of their authors."""
    rows = -(-len(images) // COLUMNS)
    below = []
    for captions in zip(*texts.values(), strict=True):
        named = zip(texts, captions, strict=True)
        below.append(
            [line for name, text in named for line in textwrap.wrap(f"{name}: {text}", 38)]
        )
    text = 0.17 * max(map(len, below), default=0)  # inches
    height = 3.3 + text
    room = 0.4 * text / (height * max(1, rows))  # below the last row
    layout = ConstrainedLayoutEngine(hspace=0.4 * text / height, rect=(0, room, 1, 1 - room))
    figure = Figure(figsize=(3.4 * COLUMNS, height * rows), layout=layout)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, image, lines in zip(axes, images, below, strict=False):
        axis.imshow(image)
        axis.text(
            0, -0.03, "\n".join(lines), transform=axis.transAxes, va="top", ha="left", fontsize=9
        )
    figure.suptitle("held-out images and their captions")
    return figure


def attention_picture(
    images: np.ndarray, words: Sequence[Sequence[str]], attention: np.ndarray
) -> Figure:
    """Draw the attention [N, T, places] over square images [N, S, S, 3], a row for each image."""
    side = int(np.sqrt(attention.shape[-1]))
    columns = max(map(len, words))
    figure = Figure(figsize=(1.25 * columns + 0.9, 1.5 * len(images) + 0.3), layout="constrained")
    axes = figure.subplots(len(images), columns, squeeze=False)
    for axis in axes.ravel():
        axis.axis("off")
    size = images.shape[1]
    for row, image, of_image, weights in zip(axes, images, words, attention, strict=True):
        for axis, word, weight in zip(row, of_image, weights, strict=False):
            axis.imshow(image.mean(axis=-1), cmap="gray", vmin=0, vmax=1)
            shown = weight.reshape(side, side) / weight.max()
            box = (0, size, size, 0)
            shade = axis.imshow(shown, cmap="viridis", alpha=0.6, vmin=0, vmax=1, extent=box)
            axis.set_title(word, fontsize=8)
    figure.suptitle("attention before each word")
    figure.colorbar(shade, ax=axes, label="attention / its largest", shrink=0.8)
    return figure
