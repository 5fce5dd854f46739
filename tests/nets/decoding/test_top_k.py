"""`top_k` returns what `lax.top_k` returns, with ties in the same order."""

import jax
import numpy as np
import pytest
from jax import lax

from nets.decoding.top_k import LONG, top_k


@pytest.mark.parametrize(
    ("length", "k"), [(7, 7), (LONG - 1, 3), (LONG, 1), (LONG + 1, 5), (1031, 6), (600, 400)]
)
@pytest.mark.parametrize("levels", [4, 10**6])
def test_it_agrees_with_sorting(length, k, levels):
    random = np.random.default_rng(length + k)
    x = random.integers(0, levels, (3, 2, length)).astype(np.float32)
    x[random.random(x.shape) < 0.3] = -np.inf
    x[0, 0, 2:] = -np.inf
    both = jax.jit(lambda x: (top_k(x, k), lax.top_k(x, k)))
    (values, indices), (expected, expected_indices) = both(x)
    order = np.argsort(-x, axis=-1, kind="stable")[..., :k]
    np.testing.assert_array_equal(values, np.take_along_axis(x, order, axis=-1))
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_array_equal(indices, order)


def test_ties_keep_their_order_across_blocks():
    x = np.zeros((1, LONG), np.float32)
    x[0, [20, 500]], x[0, 501] = 5, 9  # the block of the largest also holds the later of two ties
    (_, three), (_, two) = jax.jit(lambda x: [top_k(x, k) for k in (3, 2)])(x)
    np.testing.assert_array_equal(three, [[501, 20, 500]])
    np.testing.assert_array_equal(two, [[501, 20]])
