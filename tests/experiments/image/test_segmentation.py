"""The task of segmentation: void counts nowhere, and the band of edges."""

import jax.numpy as jnp
import numpy as np
import pytest

from data.images.voc import VOID
from experiments.image.segmentation import Segment, class_weights, near_edges, picture


def test_void_and_padding_rows_count_nowhere_and_weights_multiply_the_loss():
    task = Segment(None, ("a", "b"), [1.0, 3.0])
    outputs = np.zeros((2, 1, 3, 2), np.float32)
    outputs[0, 0, :, 1] = [1, 2, np.nan]
    label = np.array([[[0, 1, VOID]], [[0, 0, 0]]])
    batch = {"image": None, "label": label, "mask": np.array([1, 0], np.float32)}
    means = task.means(jnp.asarray(outputs), batch)
    losses = np.log1p(np.exp([1, -2]))
    np.testing.assert_allclose(means["loss"].value, (losses[0] + 3 * losses[1]) / 4, rtol=1e-6)
    assert float(means["pixel_accuracy"].value) == 0.5
    assert float(means["pixel_accuracy"].weight) == 2


def test_answers_are_compared_at_the_size_of_the_labels():
    task = Segment(None, ("a", "b"), [1.0, 1.0])
    small = jnp.asarray([[[[0.0, 4], [4, 0]]]])
    label = np.array([[[1, 1, 0, 0], [1, 1, 0, 0]]])
    means = task.means(small, {"image": None, "label": label})
    assert float(means["pixel_accuracy"].value) == 1


def test_edges_are_pixels_near_another_class():
    labels = np.zeros((1, 9, 12), np.int32)
    labels[..., 6:] = 1
    labels[0, :, 0] = VOID  # no class, so no edge
    expected = np.zeros(12, bool)
    expected[3:9] = True
    np.testing.assert_array_equal(near_edges(labels)[0], np.tile(expected, (9, 1)))


def test_rare_classes_weigh_more():
    counts = np.array([[2, 1, 0], [4, 0, 0]])  # the second class is in one image only
    median = (6 / 7 + 1 / 3) / 2
    assert class_weights(counts, "median") == pytest.approx([median * 7 / 6, median * 3, 0])
    roots = [np.sqrt(median * 7 / 6), np.sqrt(median * 3), 0]
    assert class_weights(counts, "median_root") == pytest.approx(roots)
    assert class_weights(counts, "none") == [1.0] * 3
    logarithm = [1 / np.log(1.02 + 6 / 7), 1 / np.log(1.02 + 1 / 7), 1 / np.log(1.02)]
    assert class_weights(counts, "logarithm") == pytest.approx(logarithm)


def test_the_legend_has_classes_that_begin_with_an_underscore():
    images = np.zeros((1, 4, 4, 3))
    figure = picture(images, {"truth": np.zeros((1, 4, 4), int)}, ("_road", "sky"))
    (legend,) = figure.legends
    assert [text.get_text().strip() for text in legend.get_texts()] == ["_road", "sky"]
