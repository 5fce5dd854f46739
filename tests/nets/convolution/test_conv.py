"""Convolution as a banded product equals lax's, forward and backward."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from nets.convolution.conv import DIMENSIONS, Conv, banded_convolution, convolve
from tests.nets.recurrent.networks import noise_like


def random_array(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def loops(x, kernel, padding):
    """S(i, j) = sum of I(i + m, j + n) K(m, n), kernel not flipped, by loops."""
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
def test_banded_product_is_the_sum_by_loops(image, size, padding):
    x, kernel = random_array(0, 2, *image, 3), random_array(1, *size, 3, 2)
    out = jax.jit(banded_convolution, static_argnums=2)(x, kernel, padding)
    np.testing.assert_allclose(out, loops(x, kernel, padding), rtol=1e-4, atol=1e-5)


# sizes that take each pass through the band and through lax
@pytest.mark.parametrize(
    ("size", "channels", "features"), [(5, 1, 6), (5, 6, 17), (5, 17, 6), (3, 6, 6), (3, 1, 6)]
)
@pytest.mark.parametrize("padding", ["SAME", [(0, 2), (3, 1)]])
def test_layer_and_its_gradients_equal_flax(size, channels, features, padding):
    x = random_array(0, 2, 8, 7, channels)
    kernel, bias = 0.1 * random_array(1, size, size, channels, features), random_array(2, features)

    def loss(params, x, layer_class):
        y = layer_class(features, (size, size), padding=padding).apply({"params": params}, x)
        return jnp.sum(jnp.sin(y)), y

    @jax.jit
    def passes(params, x):
        run = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
        return [jax.tree.leaves(run(params, x, layer_class)) for layer_class in (Conv, nn.Conv)]

    for actual, expected in zip(*passes({"kernel": kernel, "bias": bias}, x), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "channels"), [(5, 2), (5, 17)])
def test_forward_mode_and_second_derivatives_equal_lax(size, channels):
    x, kernel = random_array(0, 1, 6, 5, channels), 0.1 * random_array(1, size, size, channels, 3)
    dx, dkernel = random_array(2, *x.shape), random_array(3, *kernel.shape)

    def derivatives(convolution, *arrays):
        def loss(x, kernel):
            y = convolution(x, kernel, (1, 1), "SAME", dimension_numbers=DIMENSIONS)
            return jnp.sum(jnp.sin(y))

        along = jax.jvp(jax.grad(loss, (0, 1)), *arrays)
        return jax.tree.leaves((jax.jvp(loss, *arrays), along))

    @jax.jit
    def passes(*arrays):
        return [derivatives(each, *arrays) for each in (convolve, lax.conv_general_dilated)]

    for actual, expected in zip(*passes((x, kernel), (dx, dkernel)), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_reaches_the_windows_around_it_only(value):
    x, kernel = random_array(0, 3, 9, 12, 1), random_array(1, 5, 5, 1, 2)
    x[1, 4, 3] = value

    @jax.jit
    def run(x):
        whole = convolve(x, kernel, (1, 1), "SAME", dimension_numbers=DIMENSIONS)
        each = jax.vmap(
            lambda x: convolve(x[None], kernel, (1, 1), "SAME", dimension_numbers=DIMENSIONS)
        )(x)[:, 0]
        plain = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=DIMENSIONS)
        return whole, each, plain

    whole, each, plain = run(x)
    assert np.isfinite(plain).sum() == plain.size - 2 * 25
    plain = np.where(np.isfinite(plain), plain, np.nan)
    for out in (whole, each):
        np.testing.assert_allclose(out, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("strides", [1, 2])
def test_groups_and_their_gradients_equal_flax(strides):
    x, kernel = random_array(0, 2, 7, 6, 6), random_array(1, 3, 3, 3, 4)

    def loss(kernel, x, layer_class):
        layer = layer_class(
            4, (3, 3), strides=strides, padding=1, feature_group_count=2, use_bias=False
        )
        return jnp.sum(jnp.sin(layer.apply({"params": {"kernel": kernel}}, x)))

    @jax.jit
    def passes(kernel, x):
        run = jax.value_and_grad(loss, argnums=(0, 1))
        return [jax.tree.leaves(run(kernel, x, layer_class)) for layer_class in (Conv, nn.Conv)]

    for actual, expected in zip(*passes(kernel, x), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


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
    x = random_array(0, 2, 9, 9, 9)
    networks = [layer_class(9, (3, 3), padding=1, **options) for layer_class in (Conv, nn.Conv)]
    variables = noise_like(jax.eval_shape(networks[1].init, jax.random.key(0), x), seed=1)
    found = jax.jit(lambda *inputs: [net.apply(*inputs) for net in networks])(variables, x)
    np.testing.assert_array_equal(*found)


def test_one_dimension_is_left_to_lax():
    x = random_array(0, 2, 9, 3)
    networks = Conv(4, (3,)), nn.Conv(4, (3,))
    variables = noise_like(jax.eval_shape(networks[0].init, jax.random.key(0), x), seed=1)
    found = jax.jit(lambda *inputs: [net.apply(*inputs) for net in networks])(variables, x)
    np.testing.assert_array_equal(*found)


def test_mismatched_channels_raise_the_error_of_lax():
    x, kernel = random_array(0, 1, 5, 5, 2), random_array(1, 3, 3, 3, 4)
    options = {"dimension_numbers": lax.conv_dimension_numbers(x.shape, kernel.shape, DIMENSIONS)}
    with pytest.raises(ValueError, match="rhs input feature dimension size, but 2 // 1 != 3"):
        convolve(x, kernel, (1, 1), "SAME", **options)


def test_worked_example_of_the_lectures():
    x = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    kernel = np.array([[1, 2], [1, 0]], np.float32).reshape(2, 2, 1, 1)
    out = jax.jit(banded_convolution, static_argnums=2)(x, kernel, ((0, 0), (0, 0)))
    np.testing.assert_array_equal(out[0, :, :, 0], [[5, 9], [17, 21]])
