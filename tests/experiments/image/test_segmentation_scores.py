import numpy as np
import pytest

from experiments.image.segmentation_scores import confusion, segmentation_scores


def test_the_known_values_with_a_void_pixel():
    truth = np.array([[0, 0, 1, 1], [0, 0, 1, 255]])
    counts = confusion(truth, np.array([[0, 1, 1, 1], [0, 0, 0, 1]]), 2)
    np.testing.assert_array_equal(counts, [[3, 1], [1, 2]])
    scores = segmentation_scores(counts)
    assert scores["mean_iu"] == pytest.approx((0.6 + 0.5) / 2)
    assert scores["pixel_accuracy"] == pytest.approx(5 / 7)
    assert scores["class_accuracy"] == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert scores["weighted_iu"] == pytest.approx((4 * 0.6 + 3 * 0.5) / 7)


def test_equal_to_a_loop_over_pixels_and_absent_classes_do_not_count():
    rng = np.random.default_rng(0)
    truth, answer = rng.choice([0, 1, 3], (2, 9, 7)), rng.integers(0, 4, (2, 9, 7))
    counts = confusion(truth, answer, 4)
    expected = np.zeros((4, 4), int)
    for t, a in zip(truth.ravel(), answer.ravel(), strict=True):
        expected[t, a] += 1
    np.testing.assert_array_equal(counts, expected)
    present = [0, 1, 3]
    units = [
        ((truth == k) & (answer == k)).sum() / ((truth == k) | (answer == k)).sum() for k in present
    ]
    assert segmentation_scores(counts)["mean_iu"] == pytest.approx(np.mean(units))


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\) and answer \(3, 2\)"):
        confusion(np.zeros((2, 3), int), np.zeros((3, 2), int), 2)
