"""Labelled time series by the name of their data, how they are drawn, and what a shift does."""

from collections.abc import Mapping, Sequence
from functools import partial

import jax
import numpy as np
from matplotlib.figure import Figure

from data.catalogue import DataError, nearest
from data.epochs import Batch
from data.series.labelled import EvaluationSeries, TimeSeries
from data.series.strokes import load_pendigits, strokes
from data.sound.spectrogram import spectrograms
from data.sound.waves import load_waves
from experiments.common.pictures import save
from nets.convolution.temporal import TimeConvNet, evidence
from train.evaluate import Predictor

KINDS = ("strokes", "pendigits:FOLDER", "waves:FOLDER")
SIDE = 28  # pixels of a drawing
NUMBER_OF_OFFSETS = 9


def load_series(
    dataset: str, held_out: str, bands: int, frames: int
) -> tuple[TimeSeries, np.ndarray]:
    """Series of a dataset, and bool [N], true where one is of the test.

    dataset: strokes, pendigits:FOLDER or waves:FOLDER; held_out, bands and frames are of the last.
    Raises DataError when there is no such dataset, or nothing that is held out so.
    """
    kind, _, folder = dataset.partition(":")
    if kind == "waves":
        waves = load_waves(folder)
        test = waves.held_out(held_out)
        return spectrograms(waves, test, bands, frames), test
    if held_out != "standard":
        raise DataError(f"config.held_out={held_out} needs recordings, {dataset} has standard")
    if kind == "pendigits":
        return load_pendigits(folder)
    if dataset != "strokes":
        near = nearest(dataset, KINDS)
        raise DataError(f"there is no dataset {dataset!r}{near}; there are {', '.join(KINDS)}")
    return strokes()


def pictures(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Images [N, H, W, 1] of series [N, T, D]: a pen's path for D of 2 and 3, else D over T."""
    if x.shape[2] > 3:
        real = (np.arange(x.shape[1]) < lengths[:, None])[..., None]
        x = np.where(real, x, x.min(axis=(1, 2), keepdims=True))
        return x[:, :, ::-1].swapaxes(1, 2)[..., None].repeat(2, axis=1)
    images = np.zeros((len(x), SIDE, SIDE, 1), np.float32)
    for image, row, length in zip(images, x, lengths, strict=True):
        if length:
            points, down = row[:length, :2], row[1:length, 2:].all(axis=1)
            points = np.cumsum(points, axis=0) if x.shape[2] == 3 else points
            low, extent = points.min(axis=0), np.ptp(points, axis=0).max()
            points = (points - low) * (SIDE - 1) / max(extent, 1e-6)
            between = np.linspace(points[:-1][down], points[1:][down], 2 * SIDE).reshape(-1, 2)
            across, up = np.rint(between).astype(int).T
            image[SIDE - 1 - up, across] = 1
    return images


def accuracy_by_offset(predict: Predictor, test: TimeSeries) -> dict[int, float]:
    """Share of the series named right when all begin so many steps later, after rest.

    The offsets go up to two fifths of T; only series that fit at each of them count, and their
    number is printed. Raises DataError when none does.
    """
    steps = test.x.shape[1]
    offsets = np.unique(np.linspace(0, steps * 2 // 5, NUMBER_OF_OFFSETS).astype(int))
    fits = test.lengths + offsets[-1] <= steps
    if not fits.any():
        raise DataError(f"no series of the test leaves {offsets[-1]} of {steps} steps free")
    test, found = test.subset(fits), {}
    count = len(test.labels)
    print(f"{count} of {len(fits)} series of the test fit after {offsets[-1]} steps of rest")
    for offset in offsets.tolist():
        (batch,) = EvaluationSeries(test.delayed(np.full(count, offset)), count)
        found[offset] = float((np.argmax(predict(batch)[0], axis=1) == test.labels).mean())
    return found


def show_shift(lines: Mapping[str, Mapping[int, float]], picture: str) -> None:
    """Print accuracies by offset of each run by its name, and draw them into a file."""
    for name, found in lines.items():
        print(name)
        for offset, accuracy in found.items():
            print(f"{offset:4}  {accuracy:.4f}")
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axis = figure.subplots()
    for name, found in lines.items():
        axis.plot(list(found), list(found.values()), ".-", label=name)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("steps of rest before the series")
    axis.set_ylabel("accuracy")
    axis.grid(alpha=0.3)
    figure.legend(loc="outside upper center", frameon=False)
    save(figure, picture)


def draw_evidence(network: TimeConvNet, variables, batch: Batch, classes: Sequence[str]) -> Figure:
    """One series of each class in a batch, and what of the logit of its label comes from when."""
    labels, rows = np.unique(batch["label"][batch["mask"] > 0], return_index=True)
    x, lengths = batch["x"][rows], batch["lengths"][rows]
    parts = np.asarray(jax.jit(partial(evidence, network))(variables, x, lengths, labels))
    columns = min(5, len(labels))
    figure = Figure(figsize=(2.2 * columns, 2.3 * -(-len(labels) // columns)), layout="constrained")
    figure.suptitle("line: what speaks for the label, and when")
    figure.supxlabel("step")
    figure.supylabel("input")
    axes = figure.subplots(-(-len(labels) // columns), columns, squeeze=False).ravel()
    stride = x.shape[1] / parts.shape[1]
    for axis in axes[len(labels) :]:
        axis.axis("off")
    for axis, row, length, part, label in zip(axes, x, lengths, parts, labels, strict=False):
        axis.imshow(row[:length].T, cmap="gray", origin="lower", aspect="auto")
        axis.set_title(classes[label])
        over = axis.twinx()
        over.set_axis_off()
        over.set_ylim(min(0.0, parts.min()), 1.05 * parts.max() + 1e-6)
        shown = part[: int(np.ceil(length / stride))]
        over.plot((np.arange(len(shown)) + 0.5) * stride - 0.5, shown, "tab:orange", lw=2)
        axis.set_xlim(-0.5, length - 0.5)
    return figure
