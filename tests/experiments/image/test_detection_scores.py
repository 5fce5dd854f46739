import numpy as np
import pytest

from experiments.image.detection_scores import (
    Detections,
    Objects,
    average_precision,
    class_average_precision,
    mean_average_precision,
    precision_recall,
)


def curve(hits, count):
    scores = -np.arange(len(hits), dtype=float)
    return precision_recall(np.array([int(letter == "T") for letter in hits]), scores, count)


# values of scikit-learn, of the development kit of PASCAL VOC and of pycocotools
@pytest.mark.parametrize(
    ("hits", "count", "area", "eleven", "coco"),
    [
        ("TFTTF", 4, 0.625, 0.6136, 0.6287),
        ("TFT", 2, 0.8333, 0.8485, 0.8350),
        ("TTTFFFFTTT", 10, None, 0.5273, 0.4851),
    ],
)
def test_average_precision_has_the_known_values(hits, count, area, eleven, coco):
    for criterion, expected in {"area": area, "11_points": eleven, "coco": coco}.items():
        if expected is not None:
            result = average_precision(*curve(hits, count), criterion)
            assert result == pytest.approx(expected, abs=5e-5), criterion


def objects(*boxes, difficult=(), crowd=()):
    numbers = np.arange(len(boxes))
    return Objects(
        np.array(boxes, float).reshape(-1, 4), np.isin(numbers, difficult), np.isin(numbers, crowd)
    )


def detections(*boxes):
    rows = np.array(boxes, float).reshape(-1, 5)
    return Detections(rows[:, :4], rows[:, 4])


def test_a_detection_whose_best_object_is_taken_is_an_error_in_voc_alone():
    image = (
        detections((1, 0, 11, 10, 0.9), (1.5, 0, 11.5, 10, 0.8)),
        objects((0, 0, 10, 10), (4, 0, 14, 10)),
    )
    assert class_average_precision([image], 0.5, "area") == 0.5
    assert class_average_precision([image], 0.5, "coco") == pytest.approx(1.0)


def test_an_overlap_of_exactly_the_threshold_counts():
    image = detections((0, 0, 10, 5, 1.0)), objects((0, 0, 10, 10))
    for criterion in ("area", "coco"):
        assert class_average_precision([image], 0.5, criterion) == pytest.approx(1.0)


def test_difficult_objects_and_crowds_are_neither_hit_nor_miss():
    crowd = (
        detections((101, 101, 120, 120, 0.9), (125, 125, 140, 140, 0.8), (0, 0, 10, 10, 0.7)),
        objects((100, 100, 150, 150), (0, 0, 10, 10), crowd=[0]),
    )
    difficult = detections((50, 50, 60, 60, 0.95)), objects((50, 50, 60, 60), difficult=[0])
    for criterion in ("area", "coco"):
        assert class_average_precision([crowd, difficult], 0.5, criterion) == pytest.approx(1.0)


def test_images_without_objects_or_detections():
    empty = detections(), objects()
    hit = detections((0, 0, 10, 10, 0.5)), objects((0, 0, 10, 10))
    false = detections((0, 0, 10, 10, 0.9)), objects()
    assert np.isnan(class_average_precision([empty, false]))
    assert class_average_precision([empty, hit]) == 1
    assert class_average_precision([false, hit]) == 0.5
    assert class_average_precision([(detections(), objects((0, 0, 1, 1)))]) == 0
    assert mean_average_precision([0.5, float("nan"), 1.0]) == 0.75
    assert np.isnan(mean_average_precision([float("nan")]))
