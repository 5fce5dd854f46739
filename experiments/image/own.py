"""--mode=classify, and the user's own pictures for the modes of image classifiers."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from data.catalogue import DataError
from data.images.decode import decode_image
from data.images.labelled import EvaluationBatches, Images
from train.config import ConfigError, option
from train.trained import TrainedRun, open_folder

BATCH = 16


def others() -> Any:
    """Declare the field of a config for runs that are compared with this one."""
    return option("", "other runs to compare with", note="separated by commas", modes=("compare",))


def other_runs(run: TrainedRun) -> list[TrainedRun]:
    """Open the runs of config.others; ConfigError when there are none."""
    folders = paths_of(run.config.others, "--config.others=RUN")
    return [open_folder(Path(os.path.expanduser(folder)), {}) for folder in folders]


def paths_of(text: str, needed: str) -> list[str]:
    """Paths separated by commas; ConfigError when there are none."""
    paths = [path.strip() for path in text.split(",") if path.strip()]
    if not paths:
        raise ConfigError(f"this mode needs {needed}, or several, separated by commas")
    return paths


def own_images(run: TrainedRun) -> tuple[list[str], np.ndarray]:
    """Paths of config.input, and their images float32 [N, H, W, C] in 0 .. 1, as in training.

    Raises ConfigError when there is no path, DataError when an image cannot be read.
    """
    paths = paths_of(run.config.input, "--config.input=FILE")
    _, height, width, channels = run.example["image"].shape
    if height != width:
        raise DataError(f"own pictures need a network of square images, got {height} x {width}")
    pixels = [
        decode_image(Path(os.path.expanduser(path)), channels, height, path) for path in paths
    ]
    return paths, np.stack(pixels).astype(np.float32) / 255


def classify(run: TrainedRun) -> None:
    """Print the most probable class of each image file of config.input, and its probability."""
    paths, images = own_images(run)
    for start in range(0, len(images), BATCH):
        outputs, _ = run.predict({"image": images[start : start + BATCH]})
        logits = np.asarray(outputs, np.float64)
        probabilities = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
        for path, row in zip(paths[start:], probabilities, strict=False):
            best = int(row.argmax())
            print(f"{path}\t{run.task.classes[best]}\t{row[best]:.3f}", flush=True)


def pictures(run: TrainedRun) -> EvaluationBatches:
    """Images of config.input with their predicted classes; without it, the held-out set "test"."""
    if not run.config.input:
        return run.held_out("test")
    _, images = own_images(run)
    labels = np.asarray(run.predict({"image": images})[0]).argmax(axis=1).astype(np.int32)
    return EvaluationBatches(Images(images, labels, run.task.classes), BATCH)
