"""The largest entries of long rows are those of `lax.top_k`, equal ones in the same order."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from nets.decoding.top_k import LONG, top_k


@pytest.mark.parametrize(
    ("length", "k"), [(7, 7), (LONG - 1, 3), (LONG, 1), (LONG + 1, 5), (1031, 6), (600, 400)]
)
@pytest.mark.parametrize("levels", [4, 10**6])
def test_it_is_what_sorting_finds(length, k, levels):
    random = np.random.default_rng(length + k)
    x = random.integers(0, levels, (3, 2, length)).astype(np.float32)
    x[random.random(x.shape) < 0.3] = -np.inf
    x[0, 0, 2:] = -np.inf
    values, indices = top_k(jnp.asarray(x), k)
    order = np.argsort(-x, axis=-1, kind="stable")[..., :k]
    np.testing.assert_array_equal(values, np.take_along_axis(x, order, axis=-1))
    expected, places = lax.top_k(jnp.asarray(x), k)
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(indices, places)
    np.testing.assert_array_equal(indices, order)


def test_of_equals_the_first_come_first_whatever_stands_beside_them():
    x = np.zeros((1, LONG), np.float32)
    x[0, [20, 500]], x[0, 501] = 5, 9  # the block of the largest also holds the later of two equals
    _, indices = top_k(jnp.asarray(x), 3)
    np.testing.assert_array_equal(indices, [[501, 20, 500]])
    _, indices = top_k(jnp.asarray(x), 2)
    np.testing.assert_array_equal(indices, [[501, 20]])
