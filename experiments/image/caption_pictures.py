"""Pictures of captions: images with their captions, and attention over an image."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

COLUMNS = 4


def captions_picture(images: np.ndarray, truth: Sequence[str], texts: Sequence[str]) -> Figure:
    """Draw images [N, H, W, 3] in 0 .. 1 above a true caption and that of the network."""
    rows = -(-len(texts) // COLUMNS)
    figure = Figure(figsize=(3.4 * COLUMNS, 4.1 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, image, true, text in zip(axes, images, truth, texts, strict=False):
        axis.imshow(image)
        lines = [*textwrap.wrap(f"true: {true}", 38), *textwrap.wrap(f"network: {text}", 38)]
        axis.text(
            0, -0.03, "\n".join(lines), transform=axis.transAxes, va="top", ha="left", fontsize=9
        )
    figure.suptitle("held-out images, one of their true captions, and the network's")
    return figure


def attention_picture(
    images: np.ndarray, words: Sequence[Sequence[str]], attention: np.ndarray
) -> Figure:
    """Draw the attention [N, T, places] over square images [N, S, S, 3], a row for each image."""
    side = int(np.sqrt(attention.shape[-1]))
    columns = max(map(len, words))
    figure = Figure(figsize=(1.25 * columns, 1.5 * len(images)), layout="constrained")
    axes = figure.subplots(len(images), columns, squeeze=False)
    for axis in axes.ravel():
        axis.axis("off")
    size = images.shape[1]
    for row, image, of_image, weights in zip(axes, images, words, attention, strict=True):
        for axis, word, weight in zip(row, of_image, weights, strict=False):
            axis.imshow(image.mean(axis=-1), cmap="gray", vmin=0, vmax=1)
            shown = weight.reshape(side, side) / weight.max()
            axis.imshow(shown, cmap="viridis", alpha=0.6, vmin=0, vmax=1, extent=(0, size, size, 0))
            axis.set_title(word, fontsize=8)
    figure.suptitle("attention before each word, relative to its largest (bright)")
    return figure
