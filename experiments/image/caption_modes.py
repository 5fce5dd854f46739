"""Captions of the user's own pictures, and those of several runs side by side."""

import numpy as np

from experiments.common.output import picture_of, save_to
from experiments.image.caption_pictures import attention_picture, captions_picture
from experiments.image.captions import SHOWN, describe
from experiments.image.own import BATCH, other_runs, own_images
from train.config import ConfigError
from train.trained import TrainedRun


def caption(run: TrainedRun) -> None:
    """Print config.n_best captions of each image file of config.input, and draw the attention.

    Raises ConfigError for a picture of a network that does not attend.
    """
    task, path = run.task, run.config.picture
    if path and task.model.view != "attention":
        raise ConfigError("config.picture needs a network trained with config.view=attention")
    output = picture_of(run, "caption")
    paths, images = own_images(run)
    consensus = task.consensus(run.variables)
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        found = task.candidates(run.variables, part, consensus)
        print(describe(paths[start : start + BATCH], found), flush=True)
    if path:
        shown: np.ndarray = images[:BATCH]
        figure = attention_picture(shown, *task.attended(run.variables, shown, consensus))
        print(f"attention: {save_to(output, figure)}")


def compare(run: TrainedRun) -> None:
    """Draw test images with a true caption, that of this run, and those of config.others.

    Raises ConfigError when a run has images of another size.
    """
    output, runs = picture_of(run, "compare"), [run, *other_runs(run)]
    for each in runs[1:]:
        if each.config.image_size != run.config.image_size:
            raise ConfigError(
                f"{each.workdir} has images of {each.config.image_size} pixels, {run.workdir} of "
                f"{run.config.image_size}"
            )
    held_out = run.held_out("test")
    batch = next(iter(held_out))
    texts = {"true": [captions[0] for captions in held_out.pictures.captions[:SHOWN]]}
    for each in runs:
        texts[each.workdir.name] = each.task.captions(each.variables, [batch])[:SHOWN]
    path = save_to(output, captions_picture(batch["image"][: len(texts["true"])], texts))
    for row in zip(*texts.values(), strict=True):
        print(*(f"{name}: {text}" for name, text in zip(texts, row, strict=True)), sep="\t")
    print(f"picture: {path}")
