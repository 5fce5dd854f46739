"""--mode=segment and --mode=compare of segmentation."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from data.catalogue import DataError
from data.images.decode import decode_image
from experiments.common.output import picture_of, save_to
from experiments.image.own import other_runs, paths_of
from experiments.image.segmentation import SHOWN, answers_of, picture
from nets.image.fcn import enlarge
from train.config import ConfigError
from train.trained import TrainedRun


def segment(run: TrainedRun) -> None:
    """Draw the classes in the pictures of config.input, and print the share of each class.

    Pictures are reduced as in training; the answer has their own size. One that cannot be read is
    named, and the others are drawn; DataError when none can be read.
    """
    paths, classes = paths_of(run.config.input, "--config.input=FILE"), run.task.classes
    parts = [f"_{number + 1}" if len(paths) > 1 else "" for number in range(len(paths))]
    outputs = [picture_of(run, "segment", part) for part in parts]
    read = 0
    for path, output in zip(paths, outputs, strict=True):
        try:
            pixels = decode_image(Path(os.path.expanduser(path)), 3, 0, path)
        except DataError as error:
            if len(paths) == 1:
                raise
            print(f"left out: {error}", file=sys.stderr, flush=True)
            continue
        read += 1
        small = Image.fromarray(pixels).reduce(run.config.image_reduction)
        image = np.asarray(small, np.float32)[None] / 255
        scores = enlarge(run.predict({"image": image})[0], (pixels.shape[0], pixels.shape[1]))
        answer = np.asarray(scores).argmax(axis=-1)
        shares = np.bincount(answer.ravel(), minlength=len(classes)) / answer.size
        order = [i for i in np.argsort(-shares, kind="stable") if shares[i] > 0]
        print(path, *(f"{classes[i]} {shares[i]:.3f}" for i in order), sep="\t")
        where = save_to(output, picture(pixels[None], {"answer": answer}, classes))
        print(f"picture: {where}", flush=True)
    if not read:
        raise DataError("none of the pictures can be read")


def compare(run: TrainedRun) -> None:
    """Draw test images with the answers of the runs in config.others, and of this one."""
    output, runs = picture_of(run, "compare"), [*other_runs(run), run]
    for each in runs:
        same = each.config.image_reduction == run.config.image_reduction
        if not same or each.task.classes != run.task.classes:
            raise ConfigError(f"{each.workdir} has other classes or image sizes than {run.workdir}")
    batches = run.held_out("test")
    apart = max(1, len(batches.source) // SHOWN)
    batches = replace(batches, source=batches.source.part(slice(None, SHOWN * apart, apart)))
    images = [batch["image"][batch["mask"] != 0] for batch in batches]
    columns: dict[str, np.ndarray] = {}
    for each in runs:
        answers, labels = zip(*(answers_of(each.predict, batch) for batch in batches), strict=True)
        columns = {"truth": np.concatenate(labels), **columns}
        columns[f"{each.workdir.name}, stride {each.config.stride}"] = np.concatenate(answers)
    path = save_to(output, picture(np.concatenate(images), columns, run.task.classes))
    print(f"picture: {path}")
