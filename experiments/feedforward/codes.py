"""Codes and reconstructions of a set of images."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from train.task import Batch


class Coded(NamedTuple):
    """Images [N, H, W, C], their labels [N], codes [N, K] and reconstructions [N, H, W, C]."""

    images: np.ndarray
    labels: np.ndarray
    codes: np.ndarray
    reconstructions: np.ndarray


def coded(predict: Any, batches: Iterable[Batch]) -> Coded:
    """Codes and reconstructions of all images of a set."""
    rows = []
    for batch in batches:
        real = np.asarray(batch.get("mask", np.ones(len(batch["label"])))) > 0
        logits, code = predict(batch)[0]
        arrays = batch["image"], batch["label"], code, jax.nn.sigmoid(logits)
        rows.append([np.asarray(array)[real] for array in arrays])
    return Coded(*(np.concatenate(arrays) for arrays in zip(*rows, strict=True)))
