"""Depthwise convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.convolution.depthwise import convolve_depthwise

# height, width, kernel, stride, padding before and after
SIZES = [
    (6, 9, (3, 3), 1, ((1, 1), (1, 1))),
    (9, 6, (3, 3), 2, ((0, 1), (0, 1))),
    (7, 8, (5, 5), 2, ((1, 2), (1, 2))),
    (5, 12, (3, 5), 3, ((2, 0), (1, 4))),
    (3, 3, (3, 3), 2, ((0, 0), (0, 0))),
]


@pytest.mark.parametrize(("height", "width", "size", "stride", "padding"), SIZES)
def test_values_and_gradients_equal_a_grouped_convolution(height, width, size, stride, padding):
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (2, height, width, 4))
    kernel = jax.random.normal(keys[1], (*size, 4))

    def grouped(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel[:, :, None],
            (stride, stride),
            padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=4,
        )

    expected, pull = jax.vjp(grouped, x, kernel)
    found, pull_found = jax.vjp(
        lambda x, kernel: convolve_depthwise(x, kernel, stride, padding), x, kernel
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    g = jax.random.normal(keys[2], expected.shape)
    for a, b in zip(pull_found(g), pull(g), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 4, 4, 3\).*\(3, 3, 2\)"):
        convolve_depthwise(jnp.zeros((1, 4, 4, 3)), jnp.zeros((3, 3, 2)), 1, ((0, 0), (0, 0)))
    with pytest.raises(ValueError, match=r"kernel \(5, 5, 2\) does not fit"):
        convolve_depthwise(jnp.zeros((1, 4, 8, 2)), jnp.zeros((5, 5, 2)), 1, ((0, 0), (0, 0)))
