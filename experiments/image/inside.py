"""Pictures of the features that a classifier has learned: --mode=inside.

Sources: Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014; Simonyan,
Vedaldi and Zisserman, "Deep inside convolutional networks", 2014.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from flax import linen as nn
from matplotlib import colormaps
from matplotlib.figure import Figure

from data.images.labelled import EvaluationBatches
from experiments.common.output import picture_of, save_to
from experiments.image.own import pictures
from nets.interpret import convnets
from train.config import ConfigError
from train.task import Batch
from train.trained import TrainedRun

SIDE = 3  # rows and columns of the patches of a unit
EXAMPLES = 12  # images with a saliency map
MIN_SIDE = 40  # pixels; smaller pictures are enlarged
OUTSIDE = 0.75  # grey level outside an image
WIDTH, MARGIN, TITLE, LABEL = 13.0, 0.2, 0.35, 0.2  # inches
BAR = (1.6, 0.12)  # inches: width and height of a scale
SIGNED, POSITIVE = "RdBu_r", "magma"  # colour maps


class Scale(NamedTuple):
    """A colour map, and what its two ends mean."""

    colours: str
    low: str
    high: str


class Panel(NamedTuple):
    """Tiles [h, w, 3] of colours in rows of `columns`, each below its label; their scale if any."""

    title: str
    tiles: Sequence[np.ndarray]
    labels: Sequence[str]
    columns: int
    scale: Scale | None


def look_inside(run: TrainedRun) -> None:
    """Draw filters, patches that activate units most, and saliency maps.

    The patches are from test images, or from the files of config.input, for the first config.units
    units of config.layer or, by default, of every convolution. Writes config.picture and prints the
    names of the layers.
    """
    config, model, variables = run.config, run.task.model, run.variables
    output, test = picture_of(run, "inside"), pictures(run)
    images = test.source.subset(slice(1)).images
    convolutions = convnets.convolution_names(model, variables, images)
    if config.layer:
        try:
            convnets.check_layer(model, variables, images, config.layer)
        except ValueError as error:
            raise ConfigError(f"config.layer: {error}") from None
    panels = [filter_panel(model, variables, images, name) for name in convolutions[:1]]
    for name in [config.layer] if config.layer else convolutions:
        panels.append(unit_panel(model, variables, test, name, config.units))
    panels.append(saliency_panel(run, next(iter(test))))
    path = save_to(output, draw(panels))
    print("layers:", ", ".join(convnets.layer_shapes(model, variables, images)))
    print(f"picture: {path}")


def filter_panel(model: nn.Module, variables, images: np.ndarray, name: str) -> Panel:
    """Kernels of the first convolution, called `name`."""
    kernels = 2 * convnets.filters(model, variables, images) - 1
    tiles = [enlarge(coloured(kernel, 1)) for kernel in kernels]
    labels = [str(i) for i in range(len(tiles))]
    if kernels.shape[3] == 1:
        scale = Scale(SIGNED, "negative weight", "positive weight")
        return Panel(f"{name}: filters", tiles, labels, 18, scale)
    return Panel(f"{name}: filters (grey: zero)", tiles, labels, 18, None)


def unit_panel(
    model: nn.Module, variables, test: EvaluationBatches, layer: str, units: int
) -> Panel:
    """Patches that excite each of the first units most, next to the contributions of their pixels.

    test: the images that the patches are from.
    """
    source = test.source
    batches = ((batch["image"], batch["mask"]) for batch in test)
    top = convnets.top_patches(model, variables, batches, layer, SIDE**2)
    example = source.subset(slice(1)).images
    fields = convnets.receptive_fields(model, variables, example, layer)
    rectifies = convnets.has_rectifier(model, variables, example)
    sides = [max(1, int(np.diff(edges, axis=1).max())) for edges in fields]
    tiles = []
    for unit in range(min(units, top.values.shape[1])):
        indices, rows, columns = top.images[:, unit], top.rows[:, unit], top.columns[:, unit]
        images = np.concatenate([source.subset(slice(i, i + 1)).images for i in indices])
        contributions = np.asarray(
            convnets.reconstructions(
                model,
                variables,
                images,
                layer,
                rows=rows,
                columns=columns,
                units=np.full(len(indices), unit),
            )
        )
        if not rectifies:  # they are scaled by the activation: undo its sign
            contributions = images * contributions * np.sign(top.values[:, unit, None, None, None])
        boxes = [fields.box(row, column) for row, column in zip(rows, columns, strict=True)]
        patches = [crop(grey(image), box, sides) for image, box in zip(images, boxes, strict=True)]
        details = [
            crop(coloured(values, np.abs(values).max()), box, sides)
            for values, box in zip(contributions, boxes, strict=True)
        ]
        tiles.append(grid([square(patches), square(details)], 2, gap=5))
    labels = [f"{i}: {value:.2g}" for i, value in enumerate(top.values[0][: len(tiles)])]
    method = "reconstruction" if rectifies else "gradient x input"
    title = f"{layer}: patches that excite a unit most (above: unit, activation), {method}"
    ends = ("negative", "positive") if rectifies else ("lowers the activation", "raises it")
    scale = Scale(SIGNED, *ends) if example.shape[3] == 1 else None
    return Panel(title + " (grey: zero)" * (scale is None), tiles, labels, 6, scale)


def saliency_panel(run: TrainedRun, batch: Batch) -> Panel:
    """Images of a batch, each above the saliency map of its predicted class."""
    predictions = np.asarray(run.predict(batch)[0]).argmax(axis=1)
    count = min(EXAMPLES, int(batch["mask"].sum()))
    images, predictions, names = batch["image"][:count], predictions[:count], run.task.classes
    maps = np.asarray(convnets.saliency(run.task.model, run.variables, images, predictions))
    colours = [colormaps[POSITIVE](values / max(values.max(), 1e-30))[..., :3] for values in maps]
    tiles = [
        grid([enlarge(grey(image)), enlarge(saliency)], 1)
        for image, saliency in zip(images, colours, strict=True)
    ]
    labels = [
        names[predicted] if predicted == label else f"{names[predicted]}, not {names[label]}"
        for predicted, label in zip(predictions, batch["label"][:count], strict=True)
    ]
    title = "test images (above: the prediction), saliency: |gradient| of its score"
    return Panel(title, tiles, labels, EXAMPLES, Scale(POSITIVE, "0", "largest of each image"))


def grey(image: np.ndarray) -> np.ndarray:
    """Colours [H, W, 3] of a grey or colour image [H, W, 1 or 3] in 0 .. 1."""
    return np.broadcast_to(image, (*image.shape[:2], 3))


def coloured(values: np.ndarray, largest: float) -> np.ndarray:
    """Colours [H, W, 3] of values [H, W, 1 or 3] in -largest .. largest.

    One channel: from blue through white to red. Three: red, green and blue, with grey for zero.
    """
    half = 0.5 + 0.5 * values / max(largest, 1e-30)
    return half if values.shape[2] == 3 else colormaps[SIGNED](half[..., 0])[..., :3]


def crop(picture: np.ndarray, box: tuple[slice, slice], sides: Sequence[int]) -> np.ndarray:
    """Crop a box from a picture, pad it to `sides` beyond the border of the picture, and enlarge.

    A box at the border is smaller than `sides`, because receptive fields are clipped there.
    """
    pads = []
    for edge, side in zip(box, sides, strict=True):
        missing = side - (edge.stop - edge.start)
        pads.append((missing, 0) if edge.start == 0 else (0, missing))
    return enlarge(np.pad(picture[box], [*pads, (0, 0)], constant_values=OUTSIDE))


def enlarge(picture: np.ndarray) -> np.ndarray:
    """Repeat each pixel of a small picture, so that it has at least MIN_SIDE pixels a side."""
    factor = -(-MIN_SIDE // max(picture.shape[:2]))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def square(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Arrange the patches of a unit in a square with room for SIDE x SIDE of them."""
    blank = np.full_like(pictures[0], OUTSIDE)
    return grid([*pictures, *[blank] * (SIDE**2 - len(pictures))], SIDE, colour=OUTSIDE)


def grid(
    pictures: Sequence[np.ndarray], columns: int, gap: int = 2, colour: float = 1.0
) -> np.ndarray:
    """Join pictures [h, w, 3] of equal size in rows, separated by gaps of grey level `colour`."""
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    pads = [(0, gap), (0, gap), (0, 0)]
    joined = [
        np.concatenate([np.pad(each, pads, constant_values=colour) for each in row], axis=1)
        for row in rows
    ]
    return np.concatenate(joined)[:-gap, :-gap]


def draw(panels: Sequence[Panel]) -> Figure:
    """Draw the panels one below the other; the tiles of a panel share the width of the figure."""
    starts, sizes, bottom = [], [], MARGIN / 2
    for panel in panels:
        height, width = panel.tiles[0].shape[:2]
        inches = (WIDTH - MARGIN) / panel.columns - MARGIN
        starts.append(bottom)
        sizes.append((inches, inches * height / width))
        rows = -(-len(panel.tiles) // panel.columns)
        bottom += TITLE + rows * (sizes[-1][1] + LABEL + MARGIN / 2) + MARGIN
    figure = Figure(figsize=(WIDTH, bottom))
    for panel, start, (width, height) in zip(panels, starts, sizes, strict=True):
        figure.text(MARGIN / WIDTH, 1 - (start + 0.8 * TITLE) / bottom, panel.title, fontsize=11)
        if panel.scale:
            draw_scale(figure, panel.scale, 1 - (start + 0.8 * TITLE) / bottom)
        for i, (tile, label) in enumerate(zip(panel.tiles, panel.labels, strict=True)):
            row, column = divmod(i, panel.columns)
            left = MARGIN + column * (width + MARGIN)
            base = start + TITLE + (row + 1) * (height + LABEL) + row * MARGIN / 2
            box = left / WIDTH, 1 - base / bottom, width / WIDTH, height / bottom
            axis = figure.add_axes(box, frame_on=False, xticks=(), yticks=())
            axis.imshow(tile, interpolation="nearest")
            axis.set_title(label, fontsize=8, pad=2)
    return figure


def draw_scale(figure: Figure, scale: Scale, height: float) -> None:
    """Draw a colour bar with the meaning of its ends, on the right, at a height in 0 .. 1."""
    width, thickness = BAR
    left = WIDTH - MARGIN - width - 1.6  # room for the text of the high end
    box = left / WIDTH, height, width / WIDTH, thickness / figure.get_figheight()
    axis = figure.add_axes(box, xticks=(), yticks=())
    axis.imshow(np.linspace(0, 1, 256)[None], scale.colours, aspect="auto")
    for x, text, side in ((-0.04, scale.low, "right"), (1.04, scale.high, "left")):
        axis.text(x, 0.5, text, transform=axis.transAxes, ha=side, va="center", fontsize=9)
