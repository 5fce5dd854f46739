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


def random_images(rng):
    """Objects and detections of an image, some of them nearly on objects; a few crowds."""
    count = rng.integers(0, 6)
    low = rng.uniform(0, 60, (count, 2))
    own = np.concatenate([low, low + rng.uniform(5, 40, (count, 2))], axis=1)
    crowd = rng.random(count) < 0.15
    near = own[rng.integers(count, size=8)] + rng.normal(0, 4, (8, 4)) if count else own
    low = rng.uniform(0, 60, (3, 2))
    other = np.concatenate([low, low + rng.uniform(5, 40, (3, 2))], axis=1)
    boxes = np.concatenate([near, other])
    boxes = np.concatenate([boxes[:, :2], np.maximum(boxes[:, 2:], boxes[:, :2] + 1)], axis=1)
    scores = rng.permutation(len(boxes)) + rng.random(len(boxes))  # no ties
    return Detections(boxes, scores), Objects(own, np.zeros(count, bool), crowd)


def test_mean_average_precision_equals_that_of_pycocotools(capsys):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(0)
    classes = [[random_images(rng) for _ in range(40)] for _ in range(3)]
    truth, answers = [], []
    for label, images in enumerate(classes, 1):
        for image, (found, real) in enumerate(images, 1):
            keys = {"image_id": image, "category_id": label}
            sizes = [
                np.concatenate([b[:, :2], b[:, 2:] - b[:, :2]], 1) for b in (found[0], real[0])
            ]
            for box, crowd in zip(sizes[1].tolist(), real.crowd, strict=True):
                area = box[2] * box[3]
                own = {"id": len(truth) + 1, "bbox": box, "area": area, "iscrowd": int(crowd)}
                truth.append(keys | own)
            for box, score in zip(sizes[0].tolist(), found.scores.tolist(), strict=True):
                answers.append(keys | {"bbox": box, "score": score})
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i} for i in range(1, 41)],
        "categories": [{"id": i} for i in range(1, 4)],
        "annotations": truth,
    }
    coco.createIndex()
    judge = COCOeval(coco, coco.loadRes(answers), "bbox")
    judge.evaluate()
    judge.accumulate()
    capsys.readouterr()
    thresholds = np.linspace(0.5, 0.95, 10)
    precision = judge.eval["precision"][..., 0, -1]  # [thresholds, points, classes], all areas
    for i, threshold in enumerate(thresholds):
        for k, images in enumerate(classes):
            ours = class_average_precision(images, threshold, "coco")
            assert ours == pytest.approx(precision[i, :, k].mean(), abs=1e-9)
    ours = mean_average_precision([class_average_precision(x, 0.5, "coco") for x in classes])
    assert ours == pytest.approx(precision[0].mean())
