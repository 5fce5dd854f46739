"""What detectors find in images, and the objects of these images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data.images.detection import Picture
from experiments.image.detection_scores import Detections, Objects


class Found(NamedTuple):
    """What was found in an image, for each class.

    boxes: [K, N, 4]; scores: [K, N]; keep: bool [K, N], which of them non-maximum suppression left.
    windows: [N, 4], the windows that became the boxes.
    """

    boxes: np.ndarray
    scores: np.ndarray
    keep: np.ndarray
    windows: np.ndarray

    def of_class(self, label: int) -> Detections:
        """Return the final detections of a class."""
        kept = self.keep[label]
        return Detections(self.boxes[label][kept], self.scores[label][kept])


def pairs(
    found: Sequence[Found], pictures: Sequence[Picture], label: int
) -> list[tuple[Detections, Objects]]:
    """Detections and objects of a class in each picture."""
    result = []
    for each, picture in zip(found, pictures, strict=True):
        own = picture.labels == label
        objects = Objects(picture.boxes[own], picture.difficult[own], picture.crowd[own])
        result.append((each.of_class(label), objects))
    return result
