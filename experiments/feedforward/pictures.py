"""Pictures of an autoencoder: reconstructions, codes, and weights of the first layer."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from experiments.common.pictures import sheet
from experiments.common.plane import principal_components
from experiments.feedforward.codes import Coded
from experiments.feedforward.linear import Components
from train.drawing import MARKERS

COLUMNS = 10  # of images
UNITS = 48  # largest number of units in a picture
POINTS = 1500  # largest number of codes in a picture


def squared_errors(images: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Sum over the pixels of the squared error of each image."""
    return np.square(images - reconstructions).sum(axis=(1, 2, 3))


def reconstructions_picture(result: Coded, components: Components) -> Figure:
    """Draw an image of each class, its reconstruction, and that by principal components."""
    firsts = [np.flatnonzero(result.labels == label)[0] for label in np.unique(result.labels)]
    rows = np.array(firsts[:COLUMNS])
    images = result.images[rows]
    linear = components.reconstruct(images.reshape(len(images), -1)).reshape(images.shape)
    kinds = {"image": images, "autoencoder": result.reconstructions[rows], "PCA": linear}
    figure = Figure(figsize=(1.05 * len(rows) + 0.9, 3.9), layout="constrained")
    size = result.codes.shape[1]
    figure.suptitle(f"reconstructions from {size} numbers, with the squared error of each")
    no_ticks = {"xticks": (), "yticks": ()}
    axes = figure.subplots(3, len(rows), squeeze=False, subplot_kw=no_ticks)
    for row, (kind, drawn) in zip(axes, kinds.items(), strict=True):
        row[0].set_ylabel(kind)
        errors = squared_errors(images, drawn)
        for axis, image, error in zip(row, drawn, errors, strict=True):
            axis.imshow(image.squeeze().clip(0, 1), cmap="gray", vmin=0, vmax=1)
            if kind != "image":
                axis.set_xlabel(f"{error:.1f}", fontsize=8)
    return figure


def codes_picture(codes: np.ndarray, labels: np.ndarray) -> Figure:
    """Draw codes [N, K], at most POINTS, in a plane, by class.

    With K > 2, this is the plane of the first two principal components of all codes.
    """
    names = ["code 1", "code 2"][: codes.shape[1]]
    points = codes
    if codes.shape[1] > 2:
        points, fractions = principal_components(codes)
        names = [
            f"principal component {i} of the code ({fraction:.0%} of the variance)"
            for i, fraction in enumerate(fractions, 1)
        ]
    if points.shape[1] == 1:
        points, names = np.c_[points, labels], ["code", "label"]
    points, labels = points[:POINTS], labels[:POINTS]
    figure = Figure(figsize=(7, 6), layout="constrained")
    axis = figure.subplots()
    classes = np.unique(labels)
    colours = colormaps["viridis"](np.linspace(0, 0.95, len(classes)))
    for i, (label, colour) in enumerate(zip(classes, colours, strict=True)):
        x, y = points[labels == label].T
        marker = MARKERS[i % len(MARKERS)]
        axis.scatter(x, y, s=14, color=colour, marker=marker, linewidths=0, label=str(label))
        axis.text(np.median(x), np.median(y), str(label), fontsize=14, weight="bold", ha="center")
    axis.set(title=f"codes of {len(points)} images", xlabel=names[0], ylabel=names[1])
    axis.legend(title="class", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def first_layer_picture(params: Any, shape: tuple[int, int, int]) -> Figure:
    """Draw the weights of the first units, or the kernels of the first convolution."""
    kernel = params["layer_0" if "layer_0" in params else "down_0"]["kernel"]
    filters = np.moveaxis(np.asarray(kernel), -1, 0)[:UNITS]
    if filters.ndim == 2:
        filters = filters.reshape(-1, *shape)
    limit = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    titles = [str(i) for i in range(len(filters))]
    return sheet(filters / limit / 2 + 0.5, titles, "weights of the first layer (0: grey)", 12)
