"""Labelled time series by the name of their data, and images of them."""

import numpy as np

from data.catalogue import DataError, nearest
from data.series.labelled import TimeSeries
from data.series.strokes import load_pendigits, strokes
from data.sound.spectrogram import spectrograms
from data.sound.waves import load_waves

KINDS = ("strokes", "pendigits:FOLDER", "waves:FOLDER")
SIDE = 28  # pixels of a drawing


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
        raise DataError(f"config.test_split={held_out} needs recordings, {dataset} has standard")
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
