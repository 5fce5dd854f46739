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
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, height, width, 4)).astype(np.float32)
    kernel = rng.normal(size=(*size, 4)).astype(np.float32)

    def grouped(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel[:, :, None],
            (stride, stride),
            padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=4,
        )

    def depthwise(x, kernel):
        return convolve_depthwise(x, kernel, stride, padding)

    g = rng.normal(size=jax.eval_shape(grouped, x, kernel).shape).astype(np.float32)

    @jax.jit
    def run(x, kernel):
        results = [jax.vjp(function, x, kernel) for function in (depthwise, grouped)]
        return [(value, *pull(g)) for value, pull in results]

    for a, b in zip(*run(x, kernel), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 4, 4, 3\).*\(3, 3, 2\)"):
        convolve_depthwise(jnp.zeros((1, 4, 4, 3)), jnp.zeros((3, 3, 2)), 1, ((0, 0), (0, 0)))
    with pytest.raises(ValueError, match=r"kernel \(5, 5, 2\) does not fit"):
        convolve_depthwise(jnp.zeros((1, 4, 8, 2)), jnp.zeros((5, 5, 2)), 1, ((0, 0), (0, 0)))
