"""--mode=caption: captions of the user's own pictures."""

import numpy as np

from experiments.image.captions import describe
from experiments.image.own import BATCH, own_images
from train.config import ConfigError
from train.trained import TrainedRun


def caption(run: TrainedRun) -> None:
    """Print config.n_best captions of each image file of config.input, and draw the attention.

    Raises ConfigError for a picture of a network that does not attend.
    """
    task, path = run.task, run.config.picture
    if path and task.model.view != "attention":
        raise ConfigError("config.picture needs a network trained with config.view=attention")
    paths, images = own_images(run)
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        found = task.candidates(run.variables, part)
        print(describe(paths[start : start + BATCH], found), flush=True)
    if path:
        from experiments.common.pictures import save
        from experiments.image.caption_pictures import attention_picture

        shown: np.ndarray = images[:BATCH]
        save(attention_picture(shown, *task.attended(run.variables, shown)), path)
        print(f"attention: {path}")
