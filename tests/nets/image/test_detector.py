"""Detectors: warped windows, and pooled windows at several scales."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nets.image import detector
from nets.image.detector import CONTEXT, GREY, SPPNet, _cells_of_scales

warp = jax.jit(detector.warp, static_argnums=2)


def test_a_window_without_context_that_fits_is_cut_out():
    image = np.random.default_rng(0).random((20, 24, 3), np.float32)
    found = warp(jnp.array(image), jnp.array([[3.0, 5, 13, 15]]), 10, context=0)
    np.testing.assert_allclose(found[0], image[5:15, 3:13], atol=1e-6)


def test_a_window_has_its_context_and_grey_beyond_the_image():
    y, x = np.mgrid[:40, :40] + 0.5
    image = jnp.array(np.stack([x, y], -1) / 40, jnp.float32)
    side = 16
    found = np.asarray(warp(image, jnp.array([[10.0, 10, 20, 30]]), side))[0]
    step = np.array([10, 20]) / (1 - 2 * CONTEXT) / side
    low = np.array([15, 20]) - side / 2 * step
    at = low + (np.arange(side)[:, None] + 0.5) * step
    np.testing.assert_allclose(found[0, :, 0], at[:, 0] / 40, atol=0.01)
    np.testing.assert_allclose(found[:, 0, 1], at[:, 1] / 40, atol=0.01)
    outside = warp(image, jnp.array([[60.0, 60, 80, 80]]), side)
    np.testing.assert_allclose(outside, GREY)


@pytest.mark.parametrize("height", [1, 17])
def test_pixels_of_windows_are_means_of_what_they_cover(height):
    """Against a loop, with windows that are enlarged, made smaller, narrow or partly outside."""
    rng = np.random.default_rng(0)
    image = rng.random((height, 13, 3), np.float32)
    boxes = np.array([[2, 3, 4, 5], [0, 0, 13, 17], [-3, 5, 9, 30], [4.3, 1, 4.8, 16]], np.float32)
    side, context = 6, 0.1
    found = np.asarray(warp(jnp.array(image), jnp.array(boxes), side, context))
    for box, window in zip(boxes, found, strict=True):
        sizes = (box[2:] - box[:2]) / (1 - 2 * context)
        low = (box[:2] + box[2:] - sizes) / 2
        weights = []
        for axis, length in ((1, height), (0, 13)):
            table = np.zeros((side, length))
            for i in range(side):
                centre = low[axis] + (i + 0.5) * sizes[axis] / side
                width = max(1, sizes[axis] / side)
                for p in range(length):
                    covered = min(p + 1, centre + width / 2) - max(p, centre - width / 2)
                    table[i, p] = max(0, covered) / width
            weights.append(table)
        expected = GREY + np.einsum("yh,xw,hwc->yxc", *weights, image - GREY)
        np.testing.assert_allclose(window, expected, atol=1e-5)


def test_a_window_that_shrinks_is_averaged():
    image = np.random.default_rng(0).random((64, 64, 1), np.float32)
    found = np.asarray(warp(jnp.array(image), jnp.array([[0.0, 0, 64, 64]]), 4, context=0))
    assert found.std() < 0.3 * image.std()
    np.testing.assert_allclose(found[0, 1:3, 1:3].mean(), image[8:56, 8:56].mean(), atol=0.03)


def test_each_window_goes_to_the_nearest_scale():
    windows = jnp.array([[[0, 0, 8, 8], [0, 0, 16, 16], [8, 8, 40, 40]]], jnp.float32)
    (cells,) = jax.jit(lambda x: _cells_of_scales(x, (1.0, 2.0), [(8, 8), (16, 16)], 32, 8))(
        windows
    )
    # the map of twice the size lies below the other one, from row 8 on
    assert cells.tolist() == [[0, 8, 2, 10], [0, 8, 4, 12], [1, 1, 5, 5]]


class Pixels(nn.Module):
    """Maps at strides 2 and 4: the pixels."""

    @nn.compact
    def __call__(self, images, *, train=False):
        return tuple(nn.avg_pool(images, (k, k), (k, k)) for k in (2, 4))


def test_windows_of_one_scale_are_the_maxima_of_their_cells():
    image = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    windows = jnp.array([[[4, 8, 20, 24], [0, 0, 32, 8]]], jnp.float32)
    model = SPPNet(Pixels(), 2, stride=4, levels=(1,), hidden=3)
    variables = jax.jit(model.init)(jax.random.key(0), image, windows)
    found = jax.jit(model.apply)(variables, image, windows)
    cells = image.reshape(8, 4, 8, 4, 3).mean(axis=(1, 3))
    x = np.stack([cells[2:6, 1:5].max(axis=(0, 1)), cells[:2].max(axis=(0, 1))])
    dense = variables["params"]["head"]["dense"]
    hidden = np.maximum(0, x @ dense["kernel"] + dense["bias"])
    np.testing.assert_allclose(found.features[0], hidden, rtol=1e-4, atol=1e-5)
    assert found.logits.shape == (1, 2, 3)
    assert found.changes.shape == (1, 2, 2, 4)
