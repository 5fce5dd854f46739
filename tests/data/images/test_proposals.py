"""Windows by selective search and on grids."""

import numpy as np
import pytest

from data.builtin.scenes import make_scene
from data.images.proposals import (
    METHODS,
    histograms,
    merged_regions,
    proposals,
    proposals_of,
    sliding_windows,
)
from data.images.window_batches import overlaps


def test_regions_merge_until_one_is_left():
    pixels = np.zeros((4, 6, 3), np.float32)
    pixels[:, 4:] = 0.9  # the two dark segments on the left are the most similar
    segments = np.repeat(np.array([[0, 0, 1, 1, 2, 2]]), 4, axis=0)
    boxes = merged_regions(pixels, segments)
    assert boxes[:3].tolist() == [[0, 0, 2, 4], [2, 0, 4, 4], [4, 0, 6, 4]]
    assert boxes[3:].tolist() == [[0, 0, 4, 4], [0, 0, 6, 4]]


def test_a_region_inside_another_merges_with_it_first():
    segments = np.zeros((12, 12), int)
    segments[:, 6:] = 1
    segments[4:8, 1:4] = 2  # inside segment 0: the box around both is filled
    boxes = merged_regions(np.full((12, 12, 3), 0.5, np.float32), segments)
    assert boxes[3].tolist() == [0, 0, 6, 12]


def test_histograms_count_the_pixels_of_each_segment():
    rng = np.random.default_rng(0)
    values, segments = rng.random((5, 7, 2)), rng.integers(3, size=(5, 7))
    found = histograms(values, segments, 3)
    for i in range(3):
        own = [np.histogram(values[segments == i, c], 16, (0, 1))[0] for c in range(2)]
        np.testing.assert_allclose(found[i], np.concatenate(own) / np.sum(own))


def test_selective_search_finds_the_digits_of_scenes():
    for index in range(3):
        scene = make_scene("detection", "test", 0, index)
        image = np.round(255 * scene.image).astype(np.uint8)
        windows = proposals(image, "selective", 300)
        assert overlaps(windows, scene.boxes).max(axis=0).min() >= 0.5
        assert (windows[:, :2] < windows[:, 2:]).all()
        assert windows.min() >= 0
        assert windows.max() <= 96


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (30, 3)])
def test_images_of_any_shape_have_a_window(shape):
    image = np.zeros((*shape, 3), np.uint8)
    for method in METHODS:
        windows = proposals(image, method, 50)
        assert 1 <= len(windows) <= 50
        assert (windows[:, :2] < windows[:, 2:]).all()
        assert (windows[:, 2:] <= np.array(shape[::-1]) + 1e-4).all()


def test_sliding_windows_find_every_square_of_their_sizes():
    windows = sliding_windows(np.zeros((96, 96, 3), np.uint8))
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 96 - 40, (50, 2))
    boxes = np.concatenate([low, low + 40], axis=1)
    assert overlaps(windows, boxes).max(axis=0).min() >= 0.5


def test_windows_are_cached_by_content(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images = [np.zeros((9, 9, 3), np.uint8), np.full((20, 30, 3), 7, np.uint8)]
    first = proposals_of(images, "sliding", 5)
    monkeypatch.setattr("data.images.proposals.proposals", None)  # not called again
    again = proposals_of(images, "sliding", 5)
    assert [w.tolist() for w in first] == [w.tolist() for w in again]
    assert [len(windows) for windows in again] == [5, 5]
