"""Convolution as a banded product is lax's own, in every pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from nets.convolution.conv import DIMENSIONS, Conv, by_band, convolve


def drawn(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def loops(x, kernel, padding):
    """S(i, j) = sum of I(i + m, j + n) K(m, n), not flipped, by loops."""
    x = np.pad(np.asarray(x, np.float64), ((0, 0), *padding, (0, 0)))
    rows, columns = kernel.shape[:2]
    high, wide = x.shape[1] - rows + 1, x.shape[2] - columns + 1
    out = np.zeros((len(x), high, wide, kernel.shape[3]))
    for i in range(high):
        for j in range(wide):
            patch = x[:, i : i + rows, j : j + columns]
            out[:, i, j] = np.einsum("nijc,ijco->no", patch, kernel)
    return out


@pytest.mark.parametrize(
    ("image", "size", "padding"),
    [
        ((6, 5), (3, 2), ((0, 0), (0, 0))),
        ((4, 6), (1, 4), ((0, 3), (2, 1))),
        ((5, 2), (2, 3), ((1, 0), (3, 2))),
        ((3, 3), (3, 3), ((0, 0), (0, 0))),
    ],
)
def test_band_is_the_sum_by_loops(image, size, padding):
    x, kernel = drawn(0, 2, *image, 3), drawn(1, *size, 3, 2)
    found = jax.jit(by_band, static_argnums=2)(x, kernel, padding)
    np.testing.assert_allclose(found, loops(x, kernel, padding), rtol=1e-4, atol=1e-5)


# each pass by a band and by lax
@pytest.mark.parametrize(
    ("size", "channels", "features"), [(5, 1, 6), (5, 6, 17), (5, 17, 6), (3, 6, 6), (3, 1, 6)]
)
@pytest.mark.parametrize("padding", ["SAME", [(0, 2), (3, 1)]])
def test_layer_and_its_gradients_are_those_of_flax(size, channels, features, padding):
    x = drawn(0, 2, 8, 7, channels)
    kernel, bias = 0.1 * drawn(1, size, size, channels, features), drawn(2, features)

    def passes(layer_class):
        layer = layer_class(features, (size, size), padding=padding)

        def loss(params, x):
            y = layer.apply({"params": params}, x)
            return jnp.sum(jnp.sin(y)), y

        run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
        return run({"kernel": kernel, "bias": bias}, x)

    for found, expected in zip(*map(jax.tree.leaves, (passes(Conv), passes(nn.Conv))), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("strides", [1, 2])
def test_groups_and_their_gradients_are_those_of_flax(strides):
    x, kernel = drawn(0, 2, 7, 6, 6), drawn(1, 3, 3, 3, 4)

    def passes(layer_class):
        layer = layer_class(
            4, (3, 3), strides=strides, padding=1, feature_group_count=2, use_bias=False
        )

        def loss(kernel, x):
            return jnp.sum(jnp.sin(layer.apply({"params": {"kernel": kernel}}, x)))

        return jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(kernel, x)

    for found, expected in zip(*map(jax.tree.leaves, (passes(Conv), passes(nn.Conv))), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"strides": (2, 2)},
        {"kernel_dilation": (2, 1)},
        {"input_dilation": (1, 2)},
        {"feature_group_count": 9},
    ],
)
def test_other_convolutions_are_left_to_lax(options):
    x = drawn(0, 2, 9, 9, 9)
    plain = nn.Conv(9, (3, 3), padding=1, **options)
    variables = plain.init(jax.random.key(0), x)
    ours = Conv(9, (3, 3), padding=1, **options)
    np.testing.assert_array_equal(ours.apply(variables, x), plain.apply(variables, x))


def test_one_dimension_is_left_to_lax():
    x = drawn(0, 2, 9, 3)
    ours = Conv(4, (3,))
    variables = ours.init(jax.random.key(0), x)
    expected = nn.Conv(4, (3,)).apply(variables, x)
    np.testing.assert_array_equal(ours.apply(variables, x), expected)


def test_channels_that_differ_are_refused_as_lax_refuses_them():
    x, kernel = drawn(0, 1, 5, 5, 2), drawn(1, 3, 3, 3, 4)
    options = {"dimension_numbers": lax.conv_dimension_numbers(x.shape, kernel.shape, DIMENSIONS)}
    with pytest.raises(ValueError, match="rhs input feature dimension size, but 2 // 1 != 3"):
        convolve(x, kernel, (1, 1), "SAME", **options)


def test_worked_example_of_the_lectures():
    x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    kernel = jnp.array([[1.0, 2.0], [1.0, 0.0]]).reshape(2, 2, 1, 1)
    found = by_band(x, kernel, ((0, 0), (0, 0)))
    np.testing.assert_array_equal(found[0, :, :, 0], [[5, 9], [17, 21]])
