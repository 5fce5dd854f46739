"""Scores of detections: precision, recall and average precision."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CRITERIA = ("area", "11_points", "coco")


class Objects(NamedTuple):
    """Objects of one class in one image: boxes [N, 4].

    difficult: bool [N]; such an object is neither a hit nor a miss. crowd: bool [N]; the same for a
    region of many objects, which any number of detections may lie in.
    """

    boxes: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray


class Detections(NamedTuple):
    """Detections of one class in one image: boxes [N, 4] and scores [N]."""

    boxes: np.ndarray
    scores: np.ndarray


def overlaps(boxes: np.ndarray, objects: Objects) -> np.ndarray:
    """Intersection over union [N, M]; for a crowd, intersection over the area of the box."""
    a, b = boxes[:, None], objects.boxes[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.prod(np.maximum(sides, 0), axis=-1)
    own, other = (np.prod(x[..., 2:] - x[..., :2], axis=-1) for x in (a, b))
    return common / np.where(objects.crowd[None], own, own + other - common)


def judge_voc(detections: Detections, objects: Objects, threshold: float) -> np.ndarray:
    """Judge each detection: 1 is a hit, 0 an error, -1 does not count; as in PASCAL VOC.

    A detection belongs to the object that it overlaps most. It is an error if the overlap is less
    than `threshold`, or if a detection of a higher score has found the object.
    """
    verdict, found = np.zeros(len(detections.scores), int), set()
    table = overlaps(detections.boxes, objects)
    for i in np.argsort(-detections.scores, kind="stable"):
        best = int(table[i].argmax()) if table.shape[1] else -1
        if best < 0 or table[i, best] < threshold:
            continue
        if objects.difficult[best] or objects.crowd[best]:
            verdict[i] = -1
        elif best not in found:
            verdict[i] = 1
            found.add(best)
    return verdict


def judge_coco(detections: Detections, objects: Objects, threshold: float) -> np.ndarray:
    """Judge each detection like `judge_voc`, but as in COCO.

    A detection belongs to the object that it overlaps most of those that no detection of a higher
    score has found; only without one of these, to a difficult object or a crowd.
    """
    verdict, found = np.zeros(len(detections.scores), int), set()
    table = overlaps(detections.boxes, objects)
    ignored = objects.difficult | objects.crowd
    for i in np.argsort(-detections.scores, kind="stable"):
        best, overlap = -1, threshold
        for j in np.argsort(ignored, kind="stable"):
            if j in found and not objects.crowd[j]:
                continue
            if best >= 0 and not ignored[best] and ignored[j]:
                break
            if table[i, j] >= overlap:
                best, overlap = int(j), table[i, j]
        if best >= 0:
            verdict[i] = -1 if ignored[best] else 1
            found.add(best)
    return verdict


def precision_recall(
    verdicts: np.ndarray, scores: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall [N] after each detection that counts, from the highest score down.

    count: number of objects that count, at least 1.
    """
    verdicts = verdicts[np.argsort(-scores, kind="stable")]
    hits = verdicts[verdicts >= 0].cumsum()
    return hits / np.arange(1, len(hits) + 1), hits / count


def average_precision(precision: np.ndarray, recall: np.ndarray, criterion: str) -> float:
    """Average precision of a curve; precision at a recall is the largest at that recall or above.

    criterion: "area" under the curve (PASCAL VOC from 2010 on), the mean at "11_points" of recall,
    0 to 1 (VOC 2007), or at the 101 points of "coco".
    """
    best = np.maximum.accumulate(precision[::-1])[::-1]
    if criterion == "area":
        return float(np.sum(best * np.diff(recall, prepend=0)))
    count = {"11_points": 11, "coco": 101}[criterion]
    points = np.arange(count) / (count - 1)
    at = np.searchsorted(recall, points, side="left")
    return float(np.append(best, 0)[at].mean())


def class_average_precision(
    images: Sequence[tuple[Detections, Objects]], threshold: float = 0.5, criterion: str = "area"
) -> float:
    """Average precision of a class over images; NaN when no object counts.

    Judged by COCO's rule with criterion "coco", else by PASCAL VOC's.
    """
    judge = judge_coco if criterion == "coco" else judge_voc
    count = sum(int((~(o.difficult | o.crowd)).sum()) for _, o in images)
    if not count:
        return float("nan")
    verdicts = np.concatenate([judge(d, o, threshold) for d, o in images])
    scores = np.concatenate([d.scores for d, _ in images])
    return average_precision(*precision_recall(verdicts, scores, count), criterion)


def mean_average_precision(values: Sequence[float]) -> float:
    """Mean over the classes that have objects; NaN when there is none."""
    real = [value for value in values if not np.isnan(value)]
    return float(np.mean(real)) if real else float("nan")
