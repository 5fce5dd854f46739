"""Scores of a segmentation, from one confusion matrix of pixels."""

import numpy as np


def confusion(truth: np.ndarray, answer: np.ndarray, classes: int) -> np.ndarray:
    """Counts int64 [classes, classes] of pixels by their true class and by the answer.

    truth: int [...], where pixels outside 0 .. classes - 1 are void and are left out. answer: int
    [...] of the same shape. Raises ValueError when the shapes differ.
    """
    if truth.shape != answer.shape:
        raise ValueError(f"truth {truth.shape} and answer {answer.shape} must have the same shape")
    real = (truth >= 0) & (truth < classes)
    pairs = truth[real].astype(np.int64) * classes + answer[real]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def segmentation_scores(counts: np.ndarray) -> dict[str, float]:
    """Scores of a confusion matrix [classes, classes], over the classes that have true pixels.

    pixel_accuracy: share of right pixels. class_accuracy: mean over classes of the share of their
    pixels that are right. mean_iu: mean over classes of right pixels over those that are of the
    class, or are said to be. weighted_iu: the same, weighted by the number of true pixels. Source:
    Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation", 2015.
    """
    true, said, right = counts.sum(axis=1), counts.sum(axis=0), np.diag(counts)
    present = true > 0
    iu = right[present] / (true + said - right)[present]
    return {
        "pixel_accuracy": float(right.sum() / true.sum()),
        "class_accuracy": float((right[present] / true[present]).mean()),
        "mean_iu": float(iu.mean()),
        "weighted_iu": float((iu * true[present]).sum() / true.sum()),
    }
