"""--mode=features of the autoencoder: a linear classifier with few labels, on several features."""

from typing import Any

import numpy as np

from data.images.labelled import EvaluationBatches, Images
from experiments.feedforward.codes import coded
from experiments.feedforward.linear import linear_accuracy
from train.config import ConfigError
from train.trained import TrainedRun

DRAWS = 5  # of the labelled images


def features(run: TrainedRun) -> None:
    """Print the test accuracy of a logistic regression on pixels, on PCA and on the code.

    Each is a mean over DRAWS random choices of labelled training images.
    """
    test = all_features(run, run.held_out("test").source)
    batches: Any = run.experiment.train
    images = batches.source
    counts = run.config.label_counts
    if max(counts) > len(images):
        raise ConfigError(f"config.label_counts={counts}: there are {len(images)} training images")
    print(f"{'labelled':>8}  " + "  ".join(f"{name:>10}" for name in test[0]))
    for count in counts:
        accuracies = []
        for draw in range(DRAWS):
            order = np.random.default_rng((run.config.seed, draw)).permutation(len(images))
            train = all_features(run, images.subset(order[:count]))
            accuracies.append(
                [
                    linear_accuracy(train[0][name], train[1], x, test[1])
                    for name, x in test[0].items()
                ]
            )
        means = np.mean(accuracies, axis=0)
        print(f"{count:8}  " + "  ".join(f"{value:10.4f}" for value in means), flush=True)


def all_features(run: TrainedRun, images: Images) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Features [N, D] of images, by name, and their labels [N]."""
    result = coded(run.predict, EvaluationBatches(images, run.config.batch_size))
    pixels = images.images.reshape(len(images), -1)
    arrays = {"pixels": pixels, "PCA": run.task.components.code(pixels), "code": result.codes}
    return arrays, images.labels
