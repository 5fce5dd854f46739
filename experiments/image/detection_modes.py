"""--mode=detect and --mode=recall of the detectors."""

import os
import sys
from pathlib import Path

import numpy as np

from data.catalogue import DataError
from data.images.decode import decode_image
from data.images.detection import resized
from data.images.proposals import proposals, proposals_of
from data.images.window_batches import on_canvas, overlaps
from experiments.common.output import picture_of, save_to
from experiments.image.own import paths_of
from train.trained import TrainedRun

COUNTS = (1, 3, 10, 30, 100, 300, 1000, 3000)  # windows of an image
OVERLAPS = (0.5, 0.7)


def detect(run: TrainedRun) -> None:
    """Print class, probability and box, in pixels, of each object in the files of config.input.

    Draws them as well. An image that cannot be read is named and left out; raises DataError when no
    image can be read, ConfigError when no file is named.
    """
    from experiments.image.detection_pictures import detections_picture, final_boxes

    config, output = run.config, picture_of(run, "detect")
    paths = paths_of(config.input, "--config.input=FILE")
    images, names, drawn, problems = [], [], [], []
    for path in paths:
        try:
            original = decode_image(Path(os.path.expanduser(path)), 3, 0, path)
        except DataError as error:
            problems.append(str(error))
            print(f"warning: {error}", file=sys.stderr, flush=True)
            continue
        image = resized(original, config.image_size)
        windows = proposals(image, config.proposals, config.max_windows)
        count = -(-len(windows) // 64) * 64  # so that few shapes are compiled
        windows = np.pad(windows, [(0, count - len(windows)), (0, 0)], "edge")
        batch = {"image": on_canvas(image, config.image_size)[None], "window": windows[None]}
        outputs, _ = run.predict(batch)
        found = next(run.task.select(outputs, windows[None], [image.shape[1::-1]]))
        factor = original.shape[1] / image.shape[1]
        names.append(Path(path).name)
        images.append(image)
        drawn.append(final_boxes(found, run.task.classes, config.least_score))
        for box, text in drawn[-1]:
            corners = " ".join(f"{value * factor:.0f}" for value in box)
            name, score = text.rsplit(" ", 1)
            print(f"{path}\t{name}\t{score}\t{corners}", flush=True)
        if not drawn[-1]:
            print(f"{path}\tnothing of probability {config.least_score:g} or more", flush=True)
    if not images:
        raise DataError(problems[0])
    picture = save_to(output, detections_picture(images, names, drawn))
    print(f"picture: {picture}")


def recall(run: TrainedRun) -> None:
    """Draw the share of the test objects that windows find, against the number of windows."""
    from experiments.image.detection_pictures import recall_picture

    output, pictures = picture_of(run, "recall"), run.held_out("test").pictures
    curves = {}
    for method in ("selective", "sliding"):
        windows = proposals_of([p.image for p in pictures], method, max(COUNTS))
        for overlap in OVERLAPS:
            shares = [found_share(pictures, windows, count, overlap) for count in COUNTS]
            curves[method, overlap] = np.array(shares)
            line = "  ".join(
                f"{count}: {share:.1%}" for count, share in zip(COUNTS, shares, strict=True)
            )
            print(f"{method}, overlap {overlap:g}  {line}", flush=True)
    picture = save_to(output, recall_picture(COUNTS, curves))
    print(f"picture: {picture}")


def found_share(pictures, windows, count: int, overlap: float) -> float:
    """Share of the objects that one of the first `count` windows overlaps by `overlap` or more."""
    hits, total = 0, 0
    for picture, own in zip(pictures, windows, strict=True):
        boxes = picture.boxes[~(picture.difficult | picture.crowd)]
        if len(boxes):
            hits += int((overlaps(own[:count], boxes).max(axis=0) >= overlap).sum())
            total += len(boxes)
    return hits / max(1, total)
