"""Activation functions: values and derivatives in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.feedforward import ACTIVATIONS, maxout

X = np.array([-3.0, -1.5, -0.4, -1e-3, 2e-3, 0.7, 1.2, 40.0], np.float32)
LOGISTIC = 1 / (1 + np.exp(-X.astype(np.float64)))
WINDOW = (np.abs(X) <= 1).astype(float)
EXPECTED = {  # value and derivative
    "identity": (X, np.ones(8)),
    "step": (X > 0, np.zeros(8)),
    "step_straight_through": (X > 0, WINDOW),
    "sign": (np.sign(X), np.zeros(8)),
    "sign_straight_through": (np.sign(X), WINDOW),
    "sigmoid": (LOGISTIC, LOGISTIC * (1 - LOGISTIC)),
    "tanh": (np.tanh(X), 1 - np.tanh(X.astype(np.float64)) ** 2),
    "relu": (np.maximum(X, 0), X > 0),
    "leaky_relu": (np.where(X > 0, X, 0.01 * X), np.where(X > 0, 1, 0.01)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_values_and_derivatives(name):
    values, pullback = jax.vjp(ACTIVATIONS[name], jnp.asarray(X))
    (gradient,) = pullback(jnp.ones(8))
    np.testing.assert_allclose(values, EXPECTED[name][0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(gradient, EXPECTED[name][1], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("name", "low"), [("step", 0), ("sign", -1)])
def test_steps_take_two_values_exactly_and_are_high_at_zero(name, low):
    x = jnp.linspace(-2, 2, 401)
    for each in (name, f"{name}_straight_through"):
        assert set(np.unique(ACTIVATIONS[each](x))) == {low, 1}
        assert ACTIVATIONS[each](jnp.zeros(())) == 1


def test_maxout_takes_the_largest_piece_and_only_it_has_a_gradient():
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    weights = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)
    expected, gradient = np.zeros((5, 2)), np.zeros((5, 6))
    for row in range(5):
        for unit in range(2):
            pieces = list(x[row, 3 * unit : 3 * unit + 3])
            expected[row, unit] = max(pieces)
            gradient[row, 3 * unit + pieces.index(max(pieces))] = weights[row, unit]
    found = jax.grad(lambda x: (weights * maxout(x, 3)).sum())(jnp.asarray(x))
    np.testing.assert_array_equal(maxout(jnp.asarray(x), 3), expected.astype(np.float32))
    np.testing.assert_allclose(found, gradient, rtol=1e-6)
    with pytest.raises(ValueError, match=r"\(5, 6\) must be a multiple of 4"):
        maxout(jnp.asarray(x), 4)
