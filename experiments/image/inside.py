"""Pictures of what a classifier has learned to look for: --mode=inside.

Sources: Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014; Simonyan,
Vedaldi and Zisserman, "Deep inside convolutional networks", 2014.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from flax import linen as nn
from matplotlib import colormaps
from matplotlib.figure import Figure

from data.images.labelled import EvaluationBatches
from experiments.common.pictures import save
from nets.interpret import convnets
from train.config import ConfigError
from train.evaluate import Predictor

SIDE = 3  # of the square of a unit's patches
EXAMPLES = 12  # images with their saliency
SMALLEST = 40  # pixels of a picture's side, larger ones stay
BEYOND = 0.75  # grey of what is no pixel of an image
WIDTH, MARGIN, TITLE, LABEL = 13.0, 0.2, 0.35, 0.2  # inches


class Classifier(Protocol):
    """What is looked into: a task of labelled images."""

    model: nn.Module
    classes: tuple[str, ...]
    test: EvaluationBatches
    config: Any


class Panel(NamedTuple):
    """Tiles of colours [h, w, 3] in rows of `columns`, each under its label."""

    title: str
    tiles: Sequence[np.ndarray]
    labels: Sequence[str]
    columns: int


def look_inside(task: Classifier, predict: Predictor) -> None:
    """--mode=inside: draw filters, the patches that units look for, and saliency, in one picture.

    The patches are of the test images, for the first config.units units of config.layer, or of each
    convolution. Writes config.picture, and says what the layers are called.
    """
    config, model, variables = task.config, task.model, predict.variables
    images = task.test.source.part(slice(1)).images
    convolutions = convnets.convolution_names(model, variables, images)
    if config.layer:
        try:
            convnets.check_layer(model, variables, images, config.layer)
        except ValueError as error:
            raise ConfigError(f"config.layer: {error}") from None
    panels = [filter_panel(model, variables, images, name) for name in convolutions[:1]]
    for name in [config.layer] if config.layer else convolutions:
        panels.append(unit_panel(task, variables, name))
    panels.append(saliency_panel(task, predict))
    path = config.picture or "inside.png"
    save(draw(panels), path)
    print("layers:", ", ".join(convnets.layer_shapes(model, variables, images)))
    print(f"picture: {path}")


def filter_panel(model: nn.Module, variables, images: np.ndarray, name: str) -> Panel:
    """The kernels of the first convolution, which is called so."""
    kernels = 2 * convnets.filters(model, variables, images) - 1
    tiles = [enlarge(coloured(kernel, 1)) for kernel in kernels]
    meaning = "red is positive, blue negative" if kernels.shape[3] == 1 else "grey is zero"
    labels = [str(i) for i in range(len(tiles))]
    return Panel(f"{name}: filters ({meaning})", tiles, labels, 18)


def unit_panel(task: Classifier, variables, layer: str) -> Panel:
    """For each unit the patches that excite it most, and beside them what in them does so."""
    model, source = task.model, task.test.source
    batches = ((batch["image"], batch["mask"]) for batch in task.test)
    found = convnets.top_patches(model, variables, batches, layer, SIDE**2)
    example = source.part(slice(1)).images
    fields = convnets.receptive_fields(model, variables, example, layer)
    rectifies = convnets.has_rectifier(model, variables, example)
    sides = [max(1, int(np.diff(edges, axis=1).max())) for edges in fields]
    tiles = []
    for unit in range(min(task.config.units, found.values.shape[1])):
        numbers, rows, columns = (part[:, unit] for part in found[1:])
        images = np.concatenate([source.part(slice(i, i + 1)).images for i in numbers])
        chosen = {"rows": rows, "columns": columns, "units": np.full(len(numbers), unit)}
        back = np.asarray(convnets.reconstructions(model, variables, images, layer, **chosen))
        if not rectifies:  # of an activation below zero the gradient has come back turned round
            back = images * back * np.sign(found.values[:, unit, None, None, None])
        boxes = [fields.box(row, column) for row, column in zip(rows, columns, strict=True)]
        seen = [cut(grey(image), box, sides) for image, box in zip(images, boxes, strict=True)]
        parts = [
            cut(coloured(part, np.abs(part).max()), box, sides)
            for part, box in zip(back, boxes, strict=True)
        ]
        tiles.append(grid([square(seen), square(parts)], 2, gap=5))
    labels = [f"{i}: {value:.2g}" for i, value in enumerate(found.values[0][: len(tiles)])]
    shown = "their reconstruction" if rectifies else "gradient x input: red raises it"
    title = f"{layer}: patches that excite a unit most (above: unit, activation), {shown}"
    return Panel(title, tiles, labels, 6)


def saliency_panel(task: Classifier, predict: Predictor) -> Panel:
    """Test images above the saliency of the class that the network gives them."""
    batch = next(iter(task.test))
    guesses = np.asarray(predict(batch)[0]).argmax(axis=1)
    count = min(EXAMPLES, int(batch["mask"].sum()))
    images, guesses, names = batch["image"][:count], guesses[:count], task.classes
    maps = np.asarray(convnets.saliency(task.model, predict.variables, images, guesses))
    hot = [colormaps["magma"](each / max(each.max(), 1e-30))[..., :3] for each in maps]
    tiles = [
        grid([enlarge(grey(image)), enlarge(each)], 1)
        for image, each in zip(images, hot, strict=True)
    ]
    labels = [
        names[guess] if guess == label else f"{names[guess]}, not {names[label]}"
        for guess, label in zip(guesses, batch["label"][:count], strict=True)
    ]
    title = "test images (above: the answer), saliency: |gradient| of its score"
    return Panel(title, tiles, labels, EXAMPLES)


def grey(image: np.ndarray) -> np.ndarray:
    """Colours [H, W, 3] of an image [H, W, 1 or 3] in 0 .. 1."""
    return np.broadcast_to(image, (*image.shape[:2], 3))


def coloured(values: np.ndarray, largest: float) -> np.ndarray:
    """Colours [H, W, 3] of values [H, W, 1 or 3] in -largest .. largest.

    One channel: from blue over white to red. Three: each a colour, and grey is zero.
    """
    half = 0.5 + 0.5 * values / max(largest, 1e-30)
    return half if values.shape[2] == 3 else colormaps["RdBu_r"](half[..., 0])[..., :3]


def cut(picture: np.ndarray, box: tuple[slice, slice], sides: Sequence[int]) -> np.ndarray:
    """The part of a picture in a box, filled up to the sides where the box lies over its border."""
    pads = []
    for edge, side in zip(box, sides, strict=True):
        missing = side - (edge.stop - edge.start)
        pads.append((missing, 0) if edge.start == 0 else (0, missing))
    return enlarge(np.pad(picture[box], [*pads, (0, 0)], constant_values=BEYOND))


def enlarge(picture: np.ndarray) -> np.ndarray:
    """A small picture with each pixel repeated."""
    times = -(-SMALLEST // max(picture.shape[:2]))
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def square(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """A unit's patches as one picture; its size does not depend on how many there are."""
    blank = np.full_like(pictures[0], BEYOND)
    return grid([*pictures, *[blank] * (SIDE**2 - len(pictures))], SIDE, colour=BEYOND)


def grid(
    pictures: Sequence[np.ndarray], columns: int, gap: int = 2, colour: float = 1.0
) -> np.ndarray:
    """Pictures [h, w, 3] of one size as one, in rows, with so grey a gap between them."""
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    pads = [(0, gap), (0, gap), (0, 0)]
    lines = [
        np.concatenate([np.pad(each, pads, constant_values=colour) for each in row], axis=1)
        for row in rows
    ]
    return np.concatenate(lines)[:-gap, :-gap]


def draw(panels: Sequence[Panel]) -> Figure:
    """All panels, one below the other; each tile of a panel as wide as its columns leave room."""
    starts, sizes, bottom = [], [], MARGIN / 2
    for panel in panels:
        tall, wide = panel.tiles[0].shape[:2]
        width = (WIDTH - MARGIN) / panel.columns - MARGIN
        starts.append(bottom)
        sizes.append((width, width * tall / wide))
        rows = -(-len(panel.tiles) // panel.columns)
        bottom += TITLE + rows * (sizes[-1][1] + LABEL + MARGIN / 2) + MARGIN
    figure = Figure(figsize=(WIDTH, bottom))
    for panel, start, (width, height) in zip(panels, starts, sizes, strict=True):
        figure.text(MARGIN / WIDTH, 1 - (start + 0.8 * TITLE) / bottom, panel.title, fontsize=11)
        for i, (tile, label) in enumerate(zip(panel.tiles, panel.labels, strict=True)):
            row, column = divmod(i, panel.columns)
            left = MARGIN + column * (width + MARGIN)
            lowest = start + TITLE + (row + 1) * (height + LABEL) + row * MARGIN / 2
            place = left / WIDTH, 1 - lowest / bottom, width / WIDTH, height / bottom
            axis = figure.add_axes(place, frame_on=False, xticks=(), yticks=())
            axis.imshow(tile, interpolation="nearest")
            axis.set_title(label, fontsize=8, pad=2)
    return figure
