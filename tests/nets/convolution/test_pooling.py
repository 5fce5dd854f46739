"""Max pooling has the values of Flax's; its gradient goes to the maximum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nets.convolution.pooling import max_pool


@pytest.mark.parametrize(
    ("shape", "size", "stride"), [((2, 6, 5, 3), 2, 2), ((1, 8, 7, 2), 3, 2), ((1, 3, 5, 1), 2, 3)]
)
def test_value_and_gradient_equal_flax_without_ties(shape, size, stride):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.permutation(np.prod(shape)).reshape(shape), jnp.float32)

    def both(pool):
        return jax.jit(jax.value_and_grad(lambda x: jnp.sum(jnp.sin(pool(x)))))(x), pool(x)

    actual = both(lambda x: max_pool(x, size, stride))
    expected = both(lambda x: nn.max_pool(x, (size, size), strides=(stride, stride)))
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("window", "shares"),
    [
        ([[5, 5], [1, 2]], [[0.5, 0.5], [0, 0]]),
        ([[5, 1], [5, 2]], [[0.5, 0], [0.5, 0]]),
        ([[0, 0], [0, 0]], [[0.25, 0.25], [0.25, 0.25]]),
        ([[7, 7], [7, 2]], [[0.25, 0.5], [0.25, 0]]),
    ],
)
def test_equal_values_share_the_gradient(window, shares):
    x = jnp.float32(window).reshape(1, 2, 2, 1)
    gradient = jax.grad(lambda x: max_pool(x).sum())(x)
    np.testing.assert_array_equal(gradient[0, ..., 0], shares)


@pytest.mark.parametrize("shape", [(1, 1, 4, 1), (4, 4, 1)])
def test_images_smaller_than_a_window_are_rejected(shape):
    with pytest.raises(ValueError, match="2 or more, 2 or more") as caught:
        max_pool(jnp.zeros(shape))
    assert str(shape) in str(caught.value)
